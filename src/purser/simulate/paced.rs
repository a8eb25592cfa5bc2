//! One run against the wall clock: the world in one task, the controller on its own thread.
//!
//! **Invariant:** world and controller share nothing but channels, as in a cluster.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use purser_engine::model::{Span, Time};
use purser_engine::port::Order;
use purser_sim::World;
use purser_sim::driver::{Beginning, LIST_INSTANCES_EVERY, RELIST_EVERY};
use tokio::sync::mpsc;

use super::input::Input;
use super::run::{self, Finished};
use crate::runtime::{Channels, Clock, Message};
use crate::tending::{self, Tending};

/// Room in the channels.
const CHANNEL: usize = 1_024;

/// The wall clock, sped up.
#[derive(Debug, Clone, Copy)]
struct PacedClock {
    origin: Time,
    started: tokio::time::Instant,
    pace: u32,
}

impl PacedClock {
    fn start(origin: Time, pace: u32) -> Self {
        Self { origin, started: tokio::time::Instant::now(), pace }
    }
}

impl Clock for PacedClock {
    fn now(&self) -> Time {
        let micros = self.started.elapsed().as_micros() * u128::from(self.pace);
        self.origin + Span(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn wait(&self, ahead: Span) -> Duration {
        // Rounded up: to wake before the moment would be to wake twice.
        Duration::from_micros(ahead.0.max(0).unsigned_abs().div_ceil(u64::from(self.pace)))
    }
}

/// Runs to the end, so many simulated seconds a second.
pub(super) fn run(input: &Input, folder: &Path, resume: bool, pace: u32) -> anyhow::Result<Finished> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(run_in_real_time(input, folder, resume, pace))
}

async fn run_in_real_time(input: &Input, folder: &Path, resume: bool, pace: u32) -> anyhow::Result<Finished> {
    let Beginning { world, controller, first, now } = run::begin(input, folder, resume, 1)?;
    let clock = PacedClock::start(now, pace);
    let end = input.end();
    let (messages, inbox) = mpsc::channel(CHANNEL);
    let (orders, outbox) = mpsc::channel(CHANNEL);
    let channels = Channels { messages: inbox, orders };
    let tending = Tending::new(input.keep);
    let controller = std::thread::spawn(move || {
        tending::drive(controller, first, clock, channels, tending, |_| (), |_, _| ())
    });
    let world = live(world, clock, end, messages, outbox).await;
    let controller = controller.join().map_err(|_| anyhow!("the controller's thread panicked"))??;
    run::close(&world, controller, folder)
}

/// Lets the world happen until its end, and everything that the controller asks of it.
async fn live(
    mut world: World,
    clock: PacedClock,
    end: Time,
    messages: mpsc::Sender<Message>,
    mut orders: mpsc::Receiver<Order>,
) -> World {
    let mut relist_at = clock.now() + RELIST_EVERY;
    let mut list_instances_at = clock.now() + LIST_INSTANCES_EVERY;
    loop {
        let now = clock.now().max(world.now());
        let listing = relist_at.min(list_instances_at);
        let next = world.next_time().map_or(listing, |next| next.min(listing)).min(end);
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(order) => world.execute(now, &order),
                None => return world,
            },
            () = tokio::time::sleep(clock.wait(next.since(now))) => {
                let now = clock.now().max(world.now()).min(end);
                let seen = world.advance(now);
                // A controller that is gone is noticed when its orders end.
                let _ = messages.send(Message::Seen(seen)).await;
                if relist_at <= now {
                    relist_at = now + RELIST_EVERY;
                    let _ = messages.send(Message::Listed(world.list(now))).await;
                }
                if list_instances_at <= now {
                    list_instances_at = now + LIST_INSTANCES_EVERY;
                    let _ = messages.send(Message::InstancesListed(world.list_instances(now))).await;
                }
                if now >= end {
                    let _ = messages.send(Message::Stop("the simulation is over".into())).await;
                    while orders.recv().await.is_some() {}
                    return world;
                }
            }
        }
    }
}
