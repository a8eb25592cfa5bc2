//! `--explain POD`: where one pod goes, or what each NodePool lacked for it.
//!
//! **Invariant:** nothing is worked out anew here: what is told is what the plan says.

use purser_engine::model::PodKey;

use super::Solved;
use super::outcome::usd;

/// So many of the cheapest types are named.
const TYPES_NAMED: usize = 5;

/// The lines to show; `None` if no such pod waits.
pub(super) fn explain(solved: &Solved, pod: &PodKey) -> Option<Vec<String>> {
    if let Some(reason) = solved.ignored.get(pod) {
        return Some(vec![format!("{pod} is ignored: {reason}")]);
    }
    let (world, plan) = (&solved.world, &solved.plan);
    let at = world.pods.iter().position(|pending| pending.key == *pod)?;
    let of = solved.looked.iter().find(|class| class.specs.contains(&world.pods[at].spec));
    let refused = of.into_iter().flat_map(|class| &class.hosts);
    let refused: Vec<String> = refused
        .map(|(host, id, detail)| format!("  not {}: {id} ({detail})", world.hosts[*host].name))
        .collect();
    let asks = format!("  asks for {}", world.problem().specs[world.pods[at].spec.0 as usize].requests);
    if let Some((host, _)) = plan.hosts.iter().find(|(_, pods)| pods.contains(&at)) {
        let mut lines = vec![format!("{pod} goes to node or claim {}", world.hosts[*host].name), asks];
        lines.extend(refused);
        return Some(lines);
    }
    if let Some((number, launch)) =
        plan.launches.iter().enumerate().find(|(_, launch)| launch.pods.contains(&at))
    {
        let offer = &world.pools[launch.pool];
        let cheapest: Vec<String> = launch
            .types
            .iter()
            .take(TYPES_NAMED)
            .map(|one| format!("{} at ${}", offer.types[one.type_at].name, usd(one.price)))
            .collect();
        let mut lines =
            vec![format!("{pod} goes to new node {} of NodePool {}", number + 1, offer.pool.name), asks];
        lines.extend(refused);
        lines.extend([
            format!("  beside {} other pods there", launch.pods.len() - 1),
            format!(
                "  {} of {} instance types would do: {}",
                launch.types.len(),
                launch.considered,
                cheapest.join(", ")
            ),
            format!("  the node must have {}", launch.requirements),
        ]);
        return Some(lines);
    }
    let unplaced = plan.unplaced.iter().find(|unplaced| unplaced.pods.contains(&at))?;
    let why = solved.solution.pod_errors.get(&pod.to_string()).cloned().unwrap_or_default();
    let mut lines = vec![format!("{pod} has no place: {why}"), asks];
    lines.extend(refused);
    for (pool, reason) in &unplaced.reasons {
        if let Some(pool) = pool {
            lines.push(format!(
                "  NodePool {} can launch nothing for it: {reason}",
                world.pools[*pool].pool.name
            ));
        }
    }
    Some(lines)
}
