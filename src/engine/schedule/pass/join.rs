//! Which targets are asked for a pod: those that are there and can still be thought to take it.
//!
//! **Invariant:** a target that is not asked would have refused.

use super::{Answer, Asked, Pass};

impl Pass<'_, '_> {
    /// The first of the targets that takes a pod. Those that never will are struck off.
    pub(super) fn join(&mut self, class: usize, level: usize, asked: &mut Asked) -> Option<u32> {
        let hosts = self.setup.problem.hosts.len();
        let mut targets = std::mem::take(&mut self.scratch);
        self.list(class, level, asked, &mut targets);
        self.at.work += 1 + targets.words() as u64 / 16;
        let mut taken = None;
        if self.style.fewest_first {
            let mut from = 0;
            while let Some(host) = targets.next(from).filter(|host| *host < hosts && taken.is_none()) {
                from = host + 1;
                taken = self.ask(class, level, host as u32, asked);
            }
            let planned = self.at.planned.len() as u32;
            asked.planned.extend(asked.known..planned);
            asked.known = planned;
            let mut order = std::mem::take(&mut asked.planned);
            order.retain(|at| !asked.never.contains(hosts + *at as usize));
            order.sort_by_key(|at| self.at.planned[*at as usize].pods.len());
            for at in order.iter().map(|at| hosts + *at as usize).filter(|at| targets.contains(*at)) {
                taken = taken.or_else(|| self.ask(class, level, at as u32, asked));
            }
            asked.planned = order;
        } else {
            let mut from = 0;
            while let Some(target) = targets.next(from).filter(|_| taken.is_none()) {
                from = target + 1;
                taken = self.ask(class, level, target as u32, asked);
            }
        }
        self.scratch = targets;
        taken
    }

    /// Lists all targets but those of which it is known that they refuse.
    fn list(&self, class: usize, level: usize, asked: &Asked, targets: &mut crate::schedule::bits::Bits) {
        targets.fill(self.setup.problem.hosts.len() + self.at.planned.len());
        targets.remove_all(&asked.never);
        targets.remove_all(&self.too_small[self.setup.sizes[class]]);
        targets.remove_all(&self.unlike[self.setup.levels[class][level].access]);
        if let Some(dear) = self.dear.get(self.setup.levels[class][level].kind) {
            targets.remove_all(dear);
        }
        let groups = &self.setup.groups;
        let ties = &self.setup.levels[class][level].ties;
        self.at.counts.strike_off(groups, ties, targets);
        for key in &ties.keys {
            for (domain, there) in self.pinned[usize::from(key.0)].iter().enumerate() {
                if there.words() > 0 && !self.at.counts.is_open(groups, ties, *key, domain as u32) {
                    targets.remove_all(there);
                }
            }
        }
    }

    /// Asks a target for a pod.
    fn ask(&mut self, class: usize, level: usize, target: u32, asked: &mut Asked) -> Option<u32> {
        self.at.work += 1;
        let requests = &self.setup.classes[class].spec.requests;
        let planned = (target as usize).checked_sub(self.setup.problem.hosts.len());
        let fits = match planned {
            None => requests.fits(&self.free[target as usize]),
            // A tight node may still become a larger one.
            Some(at) => self.style.tight || requests.fits(&self.at.planned[at].headroom),
        };
        if !fits {
            self.too_small[self.setup.sizes[class]].insert(target as usize);
            return None;
        }
        let answer = match planned {
            None => self.ask_host(class, level, target),
            Some(at) => self.ask_planned(class, level, at),
        };
        match answer {
            Answer::Taken | Answer::NotNow => {}
            Answer::Never => asked.never.insert(target as usize),
            Answer::NeverSuch => {
                self.unlike[self.setup.levels[class][level].access].insert(target as usize);
            }
        }
        (answer == Answer::Taken).then_some(target)
    }
}
