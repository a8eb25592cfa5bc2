//! scratch
use purser_engine::controller::Start;
use purser_engine::model::*;
use purser_engine::port::*;
use purser_sim::*;
use purser_sim::driver::*;
use std::ops::Range;
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
    let t = std::time::Instant::now();
    let world = World::new(day, seed, faults);
    println!("world {:?}", t.elapsed());
    let mut sim = Simulation::new(Beginning::new(world, Mem(0), Default::default(), start, Start{version:"x".into(),instance:"y".into(),term:1,origin:"o".into(),predecessor:None,recovered:None,settings:Default::default()}).unwrap());
    let end = start + Span::hours(hours); let end = sim.world.end().map_or(end, |e| e.min(end));
    let mut steps = 0; let mut bad=0;
    loop {
        match sim.step(end) { Ok(true) => {} Ok(false) => break, Err(e) => { bad+=1; if bad<20 {println!("{} {e}", sim.now())} } }
        steps += 1;
    }
    println!("{steps} steps, {} violations, {:?}, settled {}", bad, t.elapsed(), sim.world.is_settled());
    println!("audit {:?}", sim.world.audit());
    let r = sim.world.report(end.min(sim.now()));
    println!("{r}");
    let mut ev: Vec<(Time,i64)> = r.ran.iter().flat_map(|x| [(x.start,1),(x.end,-1)]).collect(); ev.sort(); let mut c=0; let mut m=0; for e in ev {c+=e.1; m=m.max(c);} println!("peak pods {m} runs {}", r.ran.len());
    let n = r.samples.len();
    for s in r.samples.iter().step_by((n/24).max(1)) { println!("{} nodes {} {} pending {}", s.at, s.nodes, s.price, s.pending); }
    println!("log {} records", sim.state().size);
}
