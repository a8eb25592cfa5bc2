//! Packings and bounds against what trying everything finds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The least price of bins for so many of each item.
fn optimum(bins: &[Bin], items: &[Item], left: &[usize], known: &mut BTreeMap<Vec<usize>, i128>) -> i128 {
    if left.iter().all(|count| *count == 0) {
        return 0;
    }
    if let Some(price) = known.get(left) {
        return *price;
    }
    let mut best = i128::MAX;
    let mut mix = vec![0; left.len()];
    // Counts through all mixes of items for the next bin.
    while let Some(at) = (0..mix.len()).find(|at| mix[*at] < left[*at]) {
        mix[at] += 1;
        mix[..at].fill(0);
        let pattern: Pattern = mix.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        let holds = |bin: &&Bin| {
            (0..bin.supply.len()).all(|resource| {
                let used: i64 =
                    pattern.iter().map(|(item, count)| items[*item].demand[resource] * *count as i64).sum();
                used <= bin.supply[resource]
            })
        };
        if let Some(price) = bins.iter().filter(holds).map(|bin| bin.price).min() {
            let rest: Vec<usize> = left.iter().zip(&mix).map(|(count, taken)| count - taken).collect();
            best = best.min(optimum(bins, items, &rest, known).saturating_add(i128::from(price)));
        }
    }
    known.insert(left.to_vec(), best);
    best
}

fn bins(most: usize) -> impl Strategy<Value = Vec<Bin>> {
    let bin = (1i64..9, 1i64..9, 2i64..20, 10_000i64..400_000)
        .prop_map(|(cores, gib, pods, price)| Bin { supply: vec![1_000 * cores, gib << 30, pods], price });
    proptest::collection::vec(bin, 0..most).prop_map(|mut bins| {
        bins.push(Bin { supply: vec![9_000, 9 << 30, 20], price: 900_000 });
        bins
    })
}

fn items(kinds: usize, most: usize) -> impl Strategy<Value = Vec<Item>> {
    let item = (1i64..40, 1i64..=36, 1..=most)
        .prop_map(|(tenths, quarters, count)| Item { demand: vec![100 * tenths, quarters << 28, 1], count });
    proptest::collection::vec(item, 1..=kinds)
}

fn each_alone(items: &[Item]) -> Vec<Pattern> {
    items.iter().enumerate().flat_map(|(at, item)| vec![vec![(at, 1)]; item.count]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_packing_is_between_the_optimum_and_where_it_began(bins in bins(4), items in items(3, 3)) {
        let counts: Vec<usize> = items.iter().map(|item| item.count).collect();
        let least = optimum(&bins, &items, &counts, &mut BTreeMap::new());
        let bound = lower_bound(&bins, &items, |_, _| true);
        prop_assert!(bound <= least, "the bound {bound} is above the optimum {least}");
        let (packed, _) = pack(&bins, &items, each_alone(&items), u64::MAX);
        let packed = packed.unwrap();
        prop_assert!(holds_all(&bins, &items, &packed));
        prop_assert!(price(&bins, &packed) >= least);
        let alone = items.iter().map(|item| {
            let bins = bins.iter().filter(|bin| fits(item, bin));
            i128::from(bins.map(|bin| bin.price).min().unwrap()) * item.count as i128
        });
        prop_assert!(price(&bins, &packed) <= alone.sum::<i128>());
    }

    #[test]
    fn many_items_are_packed_near_the_bound(bins in bins(8), items in items(12, 200)) {
        let bound = lower_bound(&bins, &items, |_, _| true);
        let (packed, _) = pack(&bins, &items, each_alone(&items), u64::MAX);
        let packed = packed.unwrap();
        prop_assert!(holds_all(&bins, &items, &packed));
        let paid = price(&bins, &packed);
        let dearest = i128::from(bins.iter().map(|bin| bin.price).max().unwrap());
        prop_assert!(paid >= bound);
        prop_assert!(paid * 100 <= bound * 110 + 1_000 * dearest, "{paid} where {bound} is proven");
    }

    #[test]
    fn unlike_items_leave_few_gaps(bins in bins(8), items in items(80, 1)) {
        let (packed, _) = pack(&bins, &items, each_alone(&items), u64::MAX);
        let packed = packed.unwrap();
        prop_assert!(holds_all(&bins, &items, &packed));
        let bound = lower_bound(&bins, &items, |_, _| true);
        let dearest = i128::from(bins.iter().map(|bin| bin.price).max().unwrap());
        let paid = price(&bins, &packed);
        prop_assert!(paid >= bound);
        prop_assert!(paid * 100 <= bound * 108 + 100 * dearest, "{paid} where {bound} is proven");
    }

    #[test]
    fn a_budget_is_kept_and_costs_nothing_but_money(bins in bins(8), items in items(90, 3), budget in 0u64..200_000) {
        let start = each_alone(&items);
        let (few, spent) = pack(&bins, &items, start.clone(), budget);
        let (many, _) = pack(&bins, &items, start, u64::MAX);
        let (few, many) = (few.unwrap(), many.unwrap());
        prop_assert!(holds_all(&bins, &items, &few));
        // What is begun is finished: a round, a program.
        prop_assert!(spent <= budget + 1_000_000, "{spent} of {budget}");
        prop_assert!(price(&bins, &many) * 100 <= price(&bins, &few) * 125);
    }

    #[test]
    fn what_may_not_go_together_makes_the_bound_no_lower(bins in bins(4), items in items(4, 20)) {
        let all = lower_bound(&bins, &items, |_, _| true);
        let last = bins.len() - 1;
        let some = lower_bound(&bins, &items, |item, bin| bin == last || !(item + bin).is_multiple_of(3));
        prop_assert!(some * 10 >= all * 9, "{some} of a problem that is harder than that of {all}");
    }
}

#[test]
fn what_cannot_be_reckoned_with_is_left_alone() {
    let free = [Bin { supply: vec![1, 1], price: 0 }];
    let items = [Item { demand: vec![1, 1], count: 1 }];
    assert_eq!(pack(&free, &items, vec![vec![(0, 1)]], u64::MAX).0, None);
    let small = [Bin { supply: vec![0, 1], price: 7 }];
    assert_eq!(pack(&small, &items, vec![vec![(0, 1)]], u64::MAX).0, None);
    assert_eq!(lower_bound(&small, &items, |_, _| true), 0);
}
