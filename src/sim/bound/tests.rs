//! The bound against what trying everything finds, and against another solver.

use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem};
use proptest::prelude::*;
use purser_engine::model::Span;

use super::*;

fn resources(cpu: i64, memory: i64, gpu: i64) -> Resources {
    [("cpu", cpu), ("memory", memory << 20), ("pods", 1), ("nvidia.com/gpu", gpu)].into_iter().collect()
}

fn a_type(cpu: i64, memory: i64, pods: i64, gpu: i64, price: i64) -> BoundType {
    let mut allocatable = resources(cpu, memory, gpu);
    allocatable.pods = pods;
    BoundType { allocatable, price: Price(price) }
}

fn class(requests: Resources) -> PodClass {
    PodClass { requests, allowed: vec![true; 8] }
}

#[test]
fn one_class_costs_what_its_scarcest_resource_does() {
    let types = [a_type(4_000, 16_384, 50, 0, 192_000), a_type(4_000, 8_192, 50, 0, 170_000)];
    let by_memory = lower_bound(&[(class(resources(100, 1_024, 0)), 160)], &types);
    assert!((1_919_999..=1_920_000).contains(&by_memory.price.0), "{by_memory:?}");
    let by_cpu = lower_bound(&[(class(resources(1_000, 1_024, 0)), 16)], &types);
    assert!((679_999..=680_000).contains(&by_cpu.price.0), "{by_cpu:?}");
}

#[test]
fn classes_that_complete_each_other_share_nodes() {
    let types = [a_type(4_000, 4_096, 100, 0, 100_000)];
    let pods = [(class(resources(3_000, 1_024, 0)), 10), (class(resources(1_000, 3_072, 0)), 10)];
    let bound = lower_bound(&pods, &types).price.0;
    assert!((999_998..=1_000_000).contains(&bound), "{bound}");
}

#[test]
fn what_fits_nowhere_is_counted_and_what_is_free_costs_nothing() {
    let types = [a_type(4_000, 4_096, 10, 0, 100_000), a_type(1_000, 4_096, 10, 0, 0)];
    let mut nowhere = class(resources(100, 100, 0));
    nowhere.allowed.clear();
    let pods = [(class(resources(5_000, 1, 0)), 3), (nowhere, 4), (class(resources(500, 100, 0)), 7)];
    assert_eq!(lower_bound(&pods, &types), LowerBound { price: Price(0), unplaced: 7 });
    assert_eq!(lower_bound(&[], &[]), LowerBound { price: Price(0), unplaced: 0 });
}

#[test]
fn over_time_only_pods_that_run_all_the_while_count() {
    let types = [a_type(1_000, 4_096, 10, 0, 3_600_000)];
    let at = |hours| Time(Span::hours(hours).0);
    let runs =
        [(0, 4), (1, 2), (1, 3), (2, 3)].map(|(start, end)| Run { class: 0, start: at(start), end: at(end) });
    let bound = |instants: &[i64], most| {
        let instants: Vec<Time> = instants.iter().map(|hours| at(*hours)).collect();
        bound_over_time(&[class(resources(500, 1, 0))], &runs, &types, &instants, most)
    };
    // 1, 3, 3 and 1 pods, half a node each.
    let exact = bound(&[0, 1, 2, 3, 4], 9);
    assert_eq!(exact.programs, 2);
    assert!((14_399_990..=14_400_000).contains(&exact.cost.0), "{exact:?}");
    // Of one class, one program says all.
    assert_eq!(bound(&[0, 1, 2, 3, 4], 1), TimeBound { programs: 1, ..exact });
    // In two intervals of two hours, one of the pods and one of the pods run all the while.
    assert!((7_199_990..=7_200_000).contains(&bound(&[0, 2, 4], 9).cost.0));
    assert_eq!(bound(&[3], 9).cost, Money(0));
}

/// The least price of nodes for these pods, by trying everything.
fn brute_force(
    counts: &[u64],
    classes: &[PodClass],
    types: &[BoundType],
    known: &mut BTreeMap<Vec<u64>, i64>,
) -> i64 {
    if counts.iter().all(|count| *count == 0) {
        return 0;
    }
    if let Some(price) = known.get(counts) {
        return *price;
    }
    let mut best = i64::MAX;
    let mut mix = vec![0; counts.len()];
    // Counts through all mixes of pods for the next node.
    while let Some(at) = (0..mix.len()).find(|at| mix[*at] < counts[*at]) {
        mix[at] += 1;
        mix[..at].fill(0);
        let fits = |one: &BoundType, number: usize| {
            let mut taken = Resources::default();
            let allowed = mix.iter().zip(classes).all(|(count, class)| {
                (0..*count).for_each(|_| taken.add(&class.requests));
                *count == 0 || class.allowed[number]
            });
            allowed && taken.fits(&one.allocatable)
        };
        let prices =
            types.iter().enumerate().filter(|(number, one)| fits(one, *number)).map(|(_, one)| one.price.0);
        if let Some(price) = prices.min() {
            let rest: Vec<u64> = counts.iter().zip(&mix).map(|(count, taken)| count - taken).collect();
            best = best.min(price.saturating_add(brute_force(&rest, classes, types, known)));
        }
    }
    known.insert(counts.to_vec(), best);
    best
}

/// The relaxation as it is written down in books, by another solver.
fn relaxation(pods: &[(PodClass, u64)], types: &[BoundType]) -> f64 {
    let names = ["cpu", "memory", "pods", "nvidia.com/gpu"];
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let nodes: Vec<_> =
        types.iter().map(|one| problem.add_var(one.price.0 as f64, (0.0, f64::INFINITY))).collect();
    let mut uses: Vec<[LinearExpr; 4]> =
        types.iter().map(|_| [(); 4].map(|()| LinearExpr::empty())).collect();
    for (class, count) in pods {
        let mut all = LinearExpr::empty();
        let fits = |at: &usize| class.allowed[*at] && class.requests.fits(&types[*at].allocatable);
        for home in (0..types.len()).filter(fits) {
            let part = problem.add_var(0.0, (0.0, f64::INFINITY));
            all.add(part, 1.0);
            for (name, used) in names.iter().zip(&mut uses[home]) {
                let supply = types[home].allocatable.get(name).max(1) as f64;
                used.add(part, class.requests.get(name) as f64 / supply);
            }
        }
        problem.add_constraint(all, ComparisonOp::Eq, *count as f64);
    }
    for (used, node) in uses.into_iter().zip(nodes) {
        for mut used in used {
            used.add(node, -1.0);
            problem.add_constraint(used, ComparisonOp::Le, 0.0);
        }
    }
    problem.solve().unwrap().solution().unwrap().objective()
}

fn pods(classes: usize, most: u64) -> impl Strategy<Value = Vec<(PodClass, u64)>> {
    let requests = (1i64..40, 1i64..160, prop_oneof![4 => Just(0i64), 1 => 1i64..3])
        .prop_map(|(cpu, memory, gpu)| resources(100 * cpu, 100 * memory, gpu));
    let one =
        (requests, proptest::collection::vec(prop_oneof![5 => Just(true), 1 => Just(false)], 12), 1..=most)
            .prop_map(|(requests, allowed, count)| (PodClass { requests, allowed }, count));
    proptest::collection::vec(one, 1..=classes)
}

fn types(most: usize) -> impl Strategy<Value = Vec<BoundType>> {
    let one = (1i64..9, 1i64..9, 2i64..30, prop_oneof![2 => Just(0i64), 1 => 1i64..4], 10_000i64..400_000)
        .prop_map(|(cores, gib_a_core, pods, gpu, price)| {
            a_type(1_000 * cores, 1_024 * cores * gib_a_core, pods, gpu, price)
        });
    // One that holds everything, so that there is an answer.
    proptest::collection::vec(one, 1..most).prop_map(|mut types| {
        types.push(a_type(4_000, 16_000, 20, 2, 900_000));
        types
    })
}

fn allow_the_last(mut pods: Vec<(PodClass, u64)>, types: &[BoundType]) -> Vec<(PodClass, u64)> {
    pods.iter_mut().for_each(|(class, _)| class.allowed[types.len() - 1] = true);
    pods
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_nodes_cost_less_than_the_bound(pods in pods(3, 3), types in types(4)) {
        let pods = allow_the_last(pods, &types);
        let (classes, counts): (Vec<PodClass>, Vec<u64>) = pods.iter().cloned().unzip();
        let bound = lower_bound(&pods, &types);
        let optimum = brute_force(&counts, &classes, &types, &mut BTreeMap::new());
        prop_assert_eq!(bound.unplaced, 0);
        prop_assert!(bound.price.0 <= optimum, "{} is above {optimum}", bound.price.0);
    }

    #[test]
    fn the_bound_is_the_optimum_of_the_relaxation(pods in pods(10, 1_000), types in types(10)) {
        let pods = allow_the_last(pods, &types);
        let (bound, optimum) = (lower_bound(&pods, &types).price.0 as f64, relaxation(&pods, &types));
        prop_assert!(bound <= optimum * (1.0 + 1e-6) && bound >= optimum * (1.0 - 1e-6) - 2.0, "{bound} against {optimum}");
    }

    #[test]
    fn a_budget_of_programs_lowers_the_bound_at_most(
        pods in pods(4, 20), types in types(4), starts in proptest::collection::vec((0i64..10, 1i64..10, 0usize..4), 1..40),
    ) {
        let classes: Vec<PodClass> = allow_the_last(pods, &types).into_iter().map(|(class, _)| class).collect();
        let runs: Vec<Run> = starts
            .into_iter()
            .map(|(start, length, class)| Run { class: class % classes.len(), start: Time(start), end: Time(start + length) })
            .collect();
        let instants: Vec<Time> = (0..20).map(|at| Time(at * Span::hours(1).0)).collect();
        let runs: Vec<Run> = runs
            .into_iter()
            .map(|run| Run { start: Time(run.start.0 * Span::hours(1).0), end: Time(run.end.0 * Span::hours(1).0), ..run })
            .collect();
        let bound = |most| bound_over_time(&classes, &runs, &types, &instants, most);
        let (few, many) = (bound(2), bound(100));
        prop_assert!(few.programs <= 2 && few.cost <= Money(many.cost.0 + many.cost.0 / 1_000_000 + 20));
    }
}
