//! The catalogue as a table: one line a type, comma-separated, a header first.
//!
//! **Invariant:** a cell that cannot be read is an error with its line and column; nothing is skipped or guessed.

use std::collections::BTreeMap;

use purser_engine::model::{Price, Str, TypeName};

use crate::error::CatalogueError;
use crate::facts::{Accelerator, Arch, Facts, Gpu, Hypervisor};

/// All columns, in the order of the built-in table.
pub(crate) const COLUMNS: [&str; 24] = [
    "name",
    "arch",
    "vcpus",
    "memory_mib",
    "interfaces",
    "ipv4_per_interface",
    "branch_interfaces",
    "network_mbps",
    "ebs_mbps",
    "hypervisor",
    "cpu_manufacturer",
    "clock_mhz",
    "nvme_gb",
    "gpu_name",
    "gpu_manufacturer",
    "gpu_count",
    "gpu_memory_mib",
    "accelerator_name",
    "accelerator_manufacturer",
    "accelerator_count",
    "neuron_cores",
    "efa_interfaces",
    "encryption_in_transit",
    "on_demand_micro_usd",
];

/// The columns that a table must have.
const REQUIRED: [&str; 6] = ["name", "arch", "vcpus", "memory_mib", "interfaces", "ipv4_per_interface"];

/// The largest of any count of processors, interfaces, addresses or devices.
const MOST_DEVICES: u64 = 1_000_000;
/// The largest of any size or rate: a million times a million.
const MOST_SIZE: u64 = 1_000_000_000_000;

/// Reads the facts about instance types from a table: a line a type, the first line that is no comment (`#`) names the
/// columns, in any order. An empty cell means that there is no such thing, or that it is not known.
///
/// | column | holds |
/// |---|---|
/// | `name` * | the type, such as `m7g.large` |
/// | `arch` * | `amd64` or `arm64` |
/// | `vcpus` *, `memory_mib` * | virtual processors; memory before any overhead |
/// | `interfaces` *, `ipv4_per_interface` * | network interfaces of the default card; addresses of each |
/// | `branch_interfaces`, `efa_interfaces` | branch interfaces for pods; Elastic Fabric Adapters |
/// | `network_mbps`, `ebs_mbps` | bandwidths |
/// | `hypervisor` | `nitro`, `xen`, or empty for bare metal |
/// | `cpu_manufacturer`, `clock_mhz` | of the processor |
/// | `nvme_gb` | local NVMe storage in 10^9 bytes |
/// | `gpu_name`, `gpu_manufacturer`, `gpu_count`, `gpu_memory_mib` | all or none |
/// | `accelerator_name`, `accelerator_manufacturer`, `accelerator_count` | all or none |
/// | `neuron_cores` | of each accelerator |
/// | `encryption_in_transit` | `yes` or `no` |
/// | `on_demand_micro_usd` | millionths of a dollar per hour; without it the type is not offered |
///
/// Columns with a star must be there.
///
/// # Errors
/// If a column is unknown, missing or there twice, a cell cannot be read, or a type is named twice.
pub fn parse_catalogue(source_name: &str, text: &str) -> Result<Vec<Facts>, CatalogueError> {
    let table = Table::open(source_name, text)?;
    let mut reader = reader(text);
    let mut record = csv::StringRecord::new();
    let mut lines_of_names: BTreeMap<TypeName, u64> = BTreeMap::new();
    let mut all = Vec::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(all),
            Err(error) => return Err(table.malformed(&error)),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let row = Row { table: &table, record: &record, line };
        let facts = row.facts()?;
        if let Some(first) = lines_of_names.insert(facts.name.clone(), line) {
            return Err(row.error(
                "name",
                format!("type {} is named twice, first on line {first}", facts.name),
                "keep one of the two lines",
            ));
        }
        all.push(facts);
    }
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes())
}

struct Table<'a> {
    file: &'a str,
    columns: BTreeMap<&'static str, usize>,
}

impl<'a> Table<'a> {
    fn open(file: &'a str, text: &str) -> Result<Self, CatalogueError> {
        let mut table = Self { file, columns: BTreeMap::new() };
        let mut reader = reader(text);
        let header = reader.headers().map_err(|error| table.malformed(&error))?;
        let line = header.position().map_or(1, csv::Position::line);
        for (at, name) in header.iter().enumerate() {
            let Some(known) = COLUMNS.into_iter().find(|known| *known == name) else {
                let problem = format!("unknown column (number {} of the header)", at + 1);
                let remedy = format!("remove it; the columns are {}", COLUMNS.join(", "));
                return Err(table.error(line, "", name, problem, remedy));
            };
            if table.columns.insert(known, at).is_some() {
                return Err(table.error(
                    line,
                    "",
                    name,
                    "the column is there twice",
                    "remove one of the two",
                ));
            }
        }
        match REQUIRED.into_iter().find(|name| !table.columns.contains_key(name)) {
            Some(missing) => Err(table.error(
                line,
                "",
                missing,
                "the header lacks this column",
                "add it; the first line of a table names its columns",
            )),
            None => Ok(table),
        }
    }

    fn error(
        &self,
        line: u64,
        object: impl Into<Box<str>>,
        field: &str,
        problem: impl Into<Box<str>>,
        remedy: impl Into<Box<str>>,
    ) -> CatalogueError {
        CatalogueError {
            file: self.file.into(),
            line: (line > 0).then_some(line),
            object: object.into(),
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    fn malformed(&self, error: &csv::Error) -> CatalogueError {
        let line = error.position().map_or(0, csv::Position::line);
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("the line has {len} cells where the header has {expected_len}")
            }
            other => format!("not a table of comma-separated values: {other:?}"),
        };
        self.error(
            line,
            "",
            "",
            problem,
            "write one line a type with a cell for each column, empty where there is none",
        )
    }
}

struct Row<'a> {
    table: &'a Table<'a>,
    record: &'a csv::StringRecord,
    line: u64,
}

impl Row<'_> {
    fn facts(&self) -> Result<Facts, CatalogueError> {
        Ok(Facts {
            name: TypeName::from(self.needed("name")?),
            arch: self.choice("arch", &[("amd64", Arch::Amd64), ("arm64", Arch::Arm64)])?,
            vcpus: self.count("vcpus", 1)?,
            memory_mib: self.needed_size("memory_mib")?,
            interfaces: self.count("interfaces", 0)?,
            ipv4_per_interface: self.count("ipv4_per_interface", 1)?,
            branch_interfaces: self.count_or_zero("branch_interfaces")?,
            network_mbps: self.size("network_mbps")?,
            ebs_mbps: self.size("ebs_mbps")?,
            hypervisor: self.choice(
                "hypervisor",
                &[("", Hypervisor::None), ("xen", Hypervisor::Xen), ("nitro", Hypervisor::Nitro)],
            )?,
            cpu_manufacturer: Str::from(self.cell("cpu_manufacturer")),
            clock_mhz: self.optional_count("clock_mhz")?,
            nvme_gb: self.size("nvme_gb")?,
            gpu: self.gpu()?,
            accelerator: self.accelerator()?,
            efa_interfaces: self.count_or_zero("efa_interfaces")?,
            encryption_in_transit: self
                .choice("encryption_in_transit", &[("no", false), ("yes", true), ("", false)])?,
            on_demand: self
                .size("on_demand_micro_usd")?
                .and_then(|micros| i64::try_from(micros).ok())
                .map(Price),
        })
    }

    fn gpu(&self) -> Result<Option<Gpu>, CatalogueError> {
        self.together(&["gpu_name", "gpu_manufacturer", "gpu_count", "gpu_memory_mib"])?
            .then(|| {
                Ok(Gpu {
                    name: Str::from(self.needed("gpu_name")?),
                    manufacturer: Str::from(self.needed("gpu_manufacturer")?),
                    count: self.count("gpu_count", 0)?,
                    memory_mib: self.needed_size("gpu_memory_mib")?,
                })
            })
            .transpose()
    }

    fn accelerator(&self) -> Result<Option<Accelerator>, CatalogueError> {
        let columns = ["accelerator_name", "accelerator_manufacturer", "accelerator_count"];
        let has_one = self.together(&columns)?;
        let neuron_cores = self.optional_count("neuron_cores")?;
        if neuron_cores.is_some() && !has_one {
            return Err(self.error(
                "neuron_cores",
                "there are cores but no accelerator",
                "fill the accelerator_ columns too, or leave this one empty",
            ));
        }
        has_one
            .then(|| {
                Ok(Accelerator {
                    name: Str::from(self.needed("accelerator_name")?),
                    manufacturer: Str::from(self.needed("accelerator_manufacturer")?),
                    count: self.count("accelerator_count", 1)?,
                    neuron_cores,
                })
            })
            .transpose()
    }

    /// Whether the cells of a group are filled; some but not all is an error.
    fn together(&self, columns: &[&'static str]) -> Result<bool, CatalogueError> {
        let filled = columns.iter().any(|column| !self.cell(column).is_empty());
        match columns.iter().find(|column| self.cell(column).is_empty()) {
            Some(empty) if filled => Err(self.error(
                empty,
                "the cell is empty though its neighbours are not",
                format!("fill all of {}, or none", columns.join(", ")),
            )),
            _ => Ok(filled),
        }
    }

    /// The text of a cell; empty if the table has no such column.
    fn cell(&self, column: &str) -> &str {
        self.table.columns.get(column).and_then(|at| self.record.get(*at)).unwrap_or("")
    }

    fn needed(&self, column: &str) -> Result<&str, CatalogueError> {
        match self.cell(column) {
            "" => Err(self.error(column, "the cell is empty", "fill it: this fact has no default")),
            text => Ok(text),
        }
    }

    fn choice<T: Copy>(&self, column: &str, choices: &[(&str, T)]) -> Result<T, CatalogueError> {
        let text = self.cell(column);
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.error(
                column,
                format!("{text:?} is not known here"),
                format!("write one of {}", names.join(", ")),
            )
        })
    }

    fn number(&self, column: &str, least: u64, most: u64) -> Result<u64, CatalogueError> {
        let text = self.cell(column);
        text.parse::<u64>().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            self.error(
                column,
                format!("{text:?} is not possible here"),
                format!("write a whole number from {least} to {most}"),
            )
        })
    }

    fn count(&self, column: &str, least: u64) -> Result<u32, CatalogueError> {
        Ok(u32::try_from(self.number(column, least, MOST_DEVICES)?).unwrap_or(u32::MAX))
    }

    fn optional_count(&self, column: &str) -> Result<Option<u32>, CatalogueError> {
        if self.cell(column).is_empty() { Ok(None) } else { self.count(column, 1).map(Some) }
    }

    fn count_or_zero(&self, column: &str) -> Result<u32, CatalogueError> {
        if self.cell(column).is_empty() { Ok(0) } else { self.count(column, 0) }
    }

    fn needed_size(&self, column: &str) -> Result<u64, CatalogueError> {
        self.number(column, 1, MOST_SIZE)
    }

    fn size(&self, column: &str) -> Result<Option<u64>, CatalogueError> {
        if self.cell(column).is_empty() { Ok(None) } else { self.number(column, 0, MOST_SIZE).map(Some) }
    }

    fn error(
        &self,
        column: &str,
        problem: impl Into<Box<str>>,
        remedy: impl Into<Box<str>>,
    ) -> CatalogueError {
        let object = match self.cell("name") {
            "" => String::new(),
            name => format!("type {name}"),
        };
        self.table.error(self.line, object, &format!("column {column}"), problem, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "name,arch,vcpus,memory_mib,interfaces,ipv4_per_interface";

    fn error(text: &str) -> String {
        parse_catalogue("own.csv", text).unwrap_err().to_string()
    }

    #[test]
    fn a_short_table_will_do() {
        let facts =
            parse_catalogue("own.csv", &format!("# ours\n{HEADER}\nx1.big, amd64, 8, 65536, 4, 15\n"))
                .unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!(facts[0].vcpus, 8);
        assert_eq!((facts[0].on_demand, &facts[0].gpu), (None, &None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_a_remedy() {
        let row = |row: &str| format!("{HEADER}\n{row}\n");
        for (text, expected) in [
            (
                format!("{HEADER},colour\n"),
                "own.csv:1: colour: unknown column (number 7 of the header); remove it",
            ),
            (format!("{HEADER},name\n"), "own.csv:1: name: the column is there twice"),
            ("name,arch\n".into(), "own.csv:1: vcpus: the header lacks this column; add it"),
            (String::new(), "own.csv:1: name: the header lacks this column"),
            (row("a.b,amd64,2,4096,3"), "own.csv:2: the line has 5 cells where the header has 6"),
            (
                row("a.b,mips,2,4096,3,10"),
                "own.csv:2: type a.b: column arch: \"mips\" is not known here; write one of",
            ),
            (row("a.b,amd64,-2,4096,3,10"), "own.csv:2: type a.b: column vcpus: \"-2\" is not possible here"),
            (row("a.b,amd64,2,1e99,3,10"), "column memory_mib: \"1e99\" is not possible here"),
            (
                row("a.b,amd64,0,4096,3,10"),
                "column vcpus: \"0\" is not possible here; write a whole number from 1",
            ),
            (row(",amd64,2,4096,3,10"), "own.csv:2: column name: the cell is empty; fill it"),
            (
                row("a.b,amd64,2,4096,3,10\na.b,amd64,2,4096,3,10"),
                "own.csv:3: type a.b: column name: type a.b is named twice, first on line 2",
            ),
        ] {
            let error = error(&text);
            assert!(error.contains(expected), "{error:?} should contain {expected:?}");
        }
        let gpu = format!("{HEADER},gpu_name,gpu_count\na.b,amd64,2,4096,3,10,t4,1\n");
        assert!(
            error(&gpu).contains("column gpu_manufacturer: the cell is empty though its neighbours are not")
        );
        let cores = format!("{HEADER},neuron_cores\na.b,amd64,2,4096,3,10,2\n");
        assert!(error(&cores).contains("there are cores but no accelerator"));
    }
}
