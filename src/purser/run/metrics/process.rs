//! What the process itself takes, as Linux tells it. Elsewhere there are none of these.
//!
//! **Invariant:** the names are those of Prometheus' own clients.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Memory and processor time.
pub(super) struct Process {
    memory: Gauge,
    threads: Gauge,
    cpu: Counter,
}

impl Process {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            memory: Gauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            threads: Gauge::new("process_threads", "Number of threads of the process.")?,
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        [self.memory.desc(), self.threads.desc(), self.cpu.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(used) = used() {
            self.memory.set(used.memory);
            self.threads.set(used.threads);
            self.cpu.inc_by((used.cpu - self.cpu.get()).max(0.0));
        }
        [self.memory.collect(), self.threads.collect(), self.cpu.collect()].concat()
    }
}

struct Used {
    memory: f64,
    threads: f64,
    cpu: f64,
}

#[cfg(target_os = "linux")]
fn used() -> Option<Used> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    parse(&stat, rustix::param::clock_ticks_per_second() as f64, rustix::param::page_size() as f64)
}

#[cfg(not(target_os = "linux"))]
fn used() -> Option<Used> {
    None
}

/// Reads /proc/self/stat: the fields behind the program's name, which may have any characters in it.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn parse(stat: &str, ticks: f64, page: f64) -> Option<Used> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // By their numbers in proc(5), of which the first two are before.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Used { cpu: (field(14)? + field(15)?) / ticks, threads: field(20)?, memory: field(24)? * page })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 1048576 300 18446744073709551615";
        let used = parse(stat, 100.0, 4096.0).unwrap();
        assert_eq!((used.cpu, used.threads, used.memory), (3.0, 9.0, 1_228_800.0));
    }
}
