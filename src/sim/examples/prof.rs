//! scratch
use purser_engine::controller::*;
use purser_engine::model::*;
use purser_engine::port::*;
use purser_sim::*;
use std::ops::Range;
use std::time::*;
struct Mem(u64);
impl Journal for Mem {
    fn append(&mut self, _n: Time, b: &[Entry]) -> Result<Range<u64>, JournalError> { let s=self.0; self.0+=b.len() as u64; Ok(s..self.0) }
    fn size(&self) -> u64 { self.0 }
}
#[allow(clippy::all, clippy::disallowed_methods, clippy::print_stdout)]
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let hours: i64 = a.get(1).map_or(1, |s| s.parse().unwrap());
    let faults = Faults::preset(a.get(2).map_or("none", |s| s)).unwrap();
    let seed = a.get(3).map_or(1, |s| s.parse().unwrap());
    let day = if let Some(path) = a.get(4) { trace::read_trace(std::path::Path::new(path)).unwrap() } else { builtin_day(seed) };
    let start = day.start;
    let mut world = World::new(day, seed, faults);
    let end = start + Span::hours(hours); let end = world.end().map_or(end, |e| e.min(end));
    let (mut tw, mut tc, mut tk, mut tx) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    world.advance(start);
    let l = world.list(start);
    let (mut c, st) = Controller::start(Mem(0), Default::default(), start, Start{version:"x".into(),instance:"y".into(),term:1,origin:"o".into(),predecessor:None,recovered:None,settings:Default::default()}, l).unwrap();
    let mut wake = st.wake_at;
    for o in &st.orders { world.execute(start, o); }
    let mut now;
    let mut slow = (Duration::ZERO, start);
    loop {
        let t = Instant::now();
        let n = match (world.next_time(), wake) { (Some(a), Some(b)) => a.min(b), (a,b) => match a.or(b) {Some(x)=>x,None=>break} };
        if n > end { break; }
        now = n;
        let i = world.advance(now);
        tw += t.elapsed();
        if t.elapsed() > slow.0 { slow = (t.elapsed(), now); }
        let t = Instant::now();
        let mut orders = vec![];
        if !i.is_empty() { let s = c.step(now, i).unwrap(); if s.evaluated { wake = s.wake_at; } orders.extend(s.orders); }
        if wake.is_some_and(|w| w <= now) { let s = c.wake(now).unwrap(); if s.evaluated { wake = s.wake_at; } orders.extend(s.orders); }
        tc += t.elapsed();
        let t = Instant::now();
        for o in &orders { world.execute(now, o); }
        tx += t.elapsed();
        let t = Instant::now();
        let state = c.state();
        let known = |claim: &ClaimName| state.claims.contains_key(claim);
        let _ = world.check(now, Some((&known, Span::secs(60))));
        tk += t.elapsed();
    }
    println!("world {tw:?} controller {tc:?} execute {tx:?} check {tk:?} slowest {slow:?}");
}
