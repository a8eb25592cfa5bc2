use purser_engine::model::{Span, TypeName};

use super::*;

const OPENB: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

fn openb_row(row: &str) -> Result<Scenario, TraceError> {
    openb("t.csv", &format!("{OPENB}{row}"), Vec::new())
}

fn runs(scenario: &Scenario) -> Vec<(&Workload, &Run)> {
    scenario
        .workloads
        .iter()
        .flat_map(|workload| match &workload.kind {
            WorkloadKind::Batch { runs, .. } => runs.iter().map(|run| (&*workload, run)).collect(),
            WorkloadKind::Service { .. } => Vec::new(),
        })
        .collect()
}

#[test]
fn a_row_of_openb_is_a_run() {
    let text = "p-0,12000,16384,1,1000,,LS,Running,10,100,40\np-1,500,1,0,0,,BE,Pending,10,100,\np-2,500,1,0,0,,BE,Failed,10,10,10\n";
    let scenario = openb_row(text).unwrap();
    let runs = runs(&scenario);
    assert_eq!(scenario.workloads.len(), 2, "rows alike are one workload");
    let requests = &runs[0].0.spec.requests;
    assert_eq!(
        (requests.cpu_millis, requests.memory_bytes, requests.get("nvidia.com/gpu"), requests.pods),
        (12_000, 16 << 30, 1, 1)
    );
    assert_eq!(runs[0].1.at, EPOCH + Span::secs(10));
    let lasted: Vec<_> = runs.iter().map(|(_, run)| run.duration.unwrap()).collect();
    assert_eq!(lasted, [Span::secs(60), Span::secs(90), Span::secs(1)]);
}

#[test]
fn columns_are_found_by_name() {
    let text =
        "scheduled_time,name,num_gpu,memory_mib,cpu_milli,deletion_time,creation_time\n5,a,0,1,1,9,3\n";
    let scenario = openb("t.csv", text, Vec::new()).unwrap();
    assert_eq!(runs(&scenario)[0].1.duration, Some(Span::secs(4)));
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let cases = [
        (
            openb_row("a,x,1,0,0,,,,0,1,0"),
            "t.csv:2: cpu_milli is \"x\", which is not a number; write a number of zero or more",
        ),
        (
            openb_row("a,-1,1,0,0,,,,0,1,0"),
            "t.csv:2: cpu_milli is \"-1\", which is negative; write a number of zero or more",
        ),
        (
            openb_row("a,1,1,4000,0,,,,0,1,0"),
            "t.csv:2: num_gpu is \"4000\", which is more than 1024, the most that is taken for real; check the unit",
        ),
        (
            openb_row("a,1,1,0,0,,,,0,1,1e9"),
            "t.csv:2: scheduled_time is \"1e9\", which is not a number; write a number of zero or more",
        ),
        (
            openb_row("a,1,1,0,0,,,,,1,0"),
            "t.csv:2: creation_time is \"\", which is no time; write seconds since the trace's start",
        ),
        (
            openb_row("a,1,1,0,0,,,,5,1,0"),
            "t.csv:2: deletion_time is \"1\", which is before creation_time; exchange the two, or remove the row",
        ),
        (
            openb_row("a,1,1,0,0,,,,0,1,0\na,1,1,0,0,,,,0,1,0"),
            "t.csv:3: name is \"a\", which line 2 has already; give every row a name of its own",
        ),
        (
            openb_row("a,1,1"),
            "t.csv:2: the row has 3 values for 11 columns; write one row a line with as many values as the header has columns",
        ),
        (
            openb("t.csv", "name,colour\n", Vec::new()),
            "t.csv:1: column \"colour\" is not a column of this trace; remove it, or name it as the trace's documentation does",
        ),
        (
            openb("t.csv", "name\n", Vec::new()),
            "t.csv:1: column \"cpu_milli\" is missing; add it to the header and to every row",
        ),
        (
            openb("t.csv", "name,name\n", Vec::new()),
            "t.csv:1: column \"name\" is there twice; remove one of the two",
        ),
        (
            openb("t.csv", "", Vec::new()),
            "t.csv:1: column \"name\" is missing; add it to the header and to every row",
        ),
    ];
    for (result, message) in cases {
        assert_eq!(result.map(|_| ()).unwrap_err().to_string(), message);
    }
    let missing = read_trace(Path::new("/nowhere/t.csv")).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/t.csv: ") && !missing.contains('\n'), "{missing}");
}

const DLRM: &str = "instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,rdma_limit,memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,creation_time,scheduled_time,deletion_time\n";

#[test]
fn a_row_of_dlrm_is_a_run_with_a_cap_per_node() {
    let text = format!(
        "{DLRM}instance_0,HN,app_0,12,12,1,1,25,25,120.5,120.0,640.0,800.0,8,,,\ninstance_1,CN,app_1,8,8,0,0,1,1,64.0,64.0,0.0,0.0,-1,100.0,160.5,460.5\n"
    );
    let scenario = dlrm("d.csv", &text, Vec::new()).unwrap();
    let runs = runs(&scenario);
    let first = &runs[0].0.spec;
    assert_eq!((first.requests.cpu_millis, first.requests.ephemeral_bytes), (12_000, 640 << 30));
    assert_eq!(first.requests.memory_bytes, (120 << 30) + (1 << 29));
    let spread = &first.spread[0];
    assert_eq!((spread.max_skew, spread.min_domains), (8, Some(2_147_483_647)));
    assert!(spread.selector.matches(&first.labels));
    assert_eq!((runs[0].1.at, runs[0].1.duration), (EPOCH, None));
    assert!(runs[1].0.spec.spread.is_empty());
    assert_eq!((runs[1].1.at, runs[1].1.duration), (EPOCH + Span::secs(100), Some(Span::secs(300))));
    assert_eq!(scenario.end, Some(EPOCH + Span::hours(1)), "all times are within the first hour");
    let none =
        dlrm("d.csv", &format!("{DLRM}i,,a,1,1,0,0,0,0,1,1,0,0,0,,,\n"), Vec::new()).map(|_| ()).unwrap_err();
    assert!(none.to_string().contains("max_instance_per_node is \"0\""), "{none}");
}

#[test]
fn traces_run_on_types_with_a_large_disk_and_a_price() {
    let types = default_types();
    assert!(types.len() > 500 && types.iter().all(|one| !one.offerings.is_empty()));
    let m5 = types.iter().find(|one| one.name == TypeName::from("m5.large")).unwrap();
    assert!(m5.allocatable().ephemeral_bytes > 12 << 40);
    assert!(default_pool().template.expire_after.is_none());
}
