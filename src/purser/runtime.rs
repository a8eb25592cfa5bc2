//! The controller in real time: inputs come through a channel, orders go out through another.
//!
//! The controller blocks while its journal syncs, so it has a thread to itself, with a runtime of its own. Everything
//! else talks to it through the channels.
//!
//! **Invariant:** this is the only owner of the controller; what it is told while it works waits in the channel, and the next step is
//! the larger for it.

use std::fmt;
use std::time::Duration;

use purser_engine::controller::{Controller, Step};
use purser_engine::event::Control;
use purser_engine::model::{Span, Time};
use purser_engine::port::{Input, InstanceFacts, Journal, JournalError, Observation, Order};
use purser_engine::state::State;
use tokio::sync::mpsc;

/// The most inputs in one step.
const MAX_INPUTS: usize = 4_096;

/// What can be said to a controller.
#[derive(Debug)]
pub enum Message {
    /// Something was seen.
    Seen(Vec<Input>),
    /// The world was listed in full.
    Listed(Vec<Observation>),
    /// The cloud's instances were listed.
    InstancesListed(Vec<InstanceFacts>),
    /// Somebody wants to look at State.
    Look(Look),
    /// Another replica may act from now on: end, and say why.
    Lost {
        /// The fencing term that ended.
        term: u64,
        /// Why.
        reason: String,
    },
    /// End in good order.
    Stop(String),
}

/// A look at State, taken on the controller's thread between two steps.
pub struct Look(Box<dyn FnOnce(&State) + Send>);

impl Look {
    /// Looks so.
    pub fn new(look: impl FnOnce(&State) + Send + 'static) -> Self {
        Self(Box::new(look))
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// How a controller hears and is heard.
#[derive(Debug)]
pub struct Channels {
    /// What it is told.
    pub messages: mpsc::Receiver<Message>,
    /// What it orders.
    pub orders: mpsc::Sender<Order>,
}

/// Tells the time, and how long to wait for a moment.
pub trait Clock {
    /// Now.
    fn now(&self) -> Time;

    /// How long it is until a moment that is so far ahead.
    fn wait(&self, ahead: Span) -> Duration;
}

/// Runs a controller until it is told to stop or nobody can tell it anything any more; gives it back.
///
/// `first` is what starting it led to. After each step `tend` may look after the journal.
///
/// # Errors
/// If the journal cannot be written. Orders of a batch that is not in the journal are not given.
pub async fn drive<J: Journal, C: Clock>(
    mut controller: Controller<J>,
    first: Step,
    clock: C,
    channels: Channels,
    mut tend: impl FnMut(&mut Controller<J>, Time),
) -> Result<Controller<J>, JournalError> {
    let Channels { mut messages, orders } = channels;
    let mut wake_at = None;
    carry_out(first, &mut wake_at, clock.now(), &orders).await;
    loop {
        let until_wake = async {
            match wake_at {
                Some(at) => tokio::time::sleep(clock.wait(at.since(clock.now()))).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            biased;
            message = messages.recv() => message.map(Some),
            () = until_wake => Some(None),
        };
        // The clock may stand still or step back; the log's time does neither.
        let now = clock.now().max(controller.state().now);
        let mut next = match message {
            Some(None) => {
                let step = controller.wake(now)?;
                carry_out(step, &mut wake_at, now, &orders).await;
                tend(&mut controller, now);
                continue;
            }
            Some(Some(message)) => message,
            None => Message::Stop("nobody is left to tell it anything".to_owned()),
        };
        // What was seen while the last step was under way goes into one batch.
        let mut after = None;
        if let Message::Seen(inputs) = &mut next {
            while inputs.len() < MAX_INPUTS {
                match messages.try_recv() {
                    Ok(Message::Seen(more)) => inputs.extend(more),
                    Ok(other) => {
                        after = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        for message in [Some(next), after].into_iter().flatten() {
            let step = match message {
                Message::Seen(inputs) => controller.step(now, inputs)?,
                Message::Listed(world) => controller.relist(now, world)?,
                Message::InstancesListed(instances) => controller.relist_instances(now, &instances)?,
                Message::Look(look) => {
                    look.0(controller.state());
                    continue;
                }
                Message::Lost { term, reason } => {
                    let lost = Control::LeadershipLost { term, reason: reason.into() };
                    return end(controller, now, lost, tend);
                }
                Message::Stop(reason) => {
                    let stopped = Control::ControllerStopped { reason: reason.into() };
                    return end(controller, now, stopped, tend);
                }
            };
            carry_out(step, &mut wake_at, now, &orders).await;
        }
        tend(&mut controller, now);
    }
}

/// Records the end. What is decided with it would need somebody to carry it out: the next start does.
fn end<J: Journal>(
    mut controller: Controller<J>,
    now: Time,
    why: Control,
    mut tend: impl FnMut(&mut Controller<J>, Time),
) -> Result<Controller<J>, JournalError> {
    controller.record(now, why)?;
    tend(&mut controller, now);
    Ok(controller)
}

async fn carry_out(step: Step, wake_at: &mut Option<Time>, now: Time, orders: &mpsc::Sender<Order>) {
    if step.evaluated {
        *wake_at = step.wake_at;
    }
    if step.stalled_since.is_some() {
        // Looked at again soon: space may be back.
        *wake_at = Some(now + Span::secs(1));
    }
    for order in step.orders {
        // An order that nobody takes is outstanding, and goes out again after the next start.
        let _ = orders.send(order).await;
    }
}
