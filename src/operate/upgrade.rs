//! Handing over to a successor: another process of the program, newer or with other settings, that
//! gets the sockets while clients connect to them, and takes over once it serves.
//!
//! The successor is started by the process before it, with the same command line, so that whoever
//! supervises the service sees one service. Until it says that it serves, nothing has changed: one
//! that is missing, fails, hangs or dies leaves the process before it as it was. From then on the
//! ledger goes over (`ledger/succession.rs`), requests in flight finish, and the process ends.
//! Pingora's own handover tells the old process to stop without knowing whether anybody follows.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use crate::downstream::sockets::{Socket, Sockets};
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::operate::status_recorder::Recorder;
use crate::platform::channel::Channel;
use crate::platform::supervisor;

/// How long a successor may take until it serves: a million accounts take some seconds.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked meanwhile whether this process is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a successor that has let go of the line may take to end, to be asked how it did.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether it has.
const ENDING_CHECK: Duration = Duration::from_millis(10);

/// The answer to a wish that has come to a process whose successor serves already.
pub const JUST_HANDED_OVER: &str = "A successor has just taken over. Ask again, to reach that one.";

/// The variable that tells a process that its standard input is the line to the one before it.
const VARIABLE: &str = "TOLLGATE_PREDECESSOR";

/// What the variable is then. A successor that does not know this protocol finds its addresses
/// taken, and fails.
const PROTOCOL: &str = "stdin-1";

/// What a successor is told.
#[derive(Debug, Serialize, Deserialize)]
enum ToSuccessor {
    /// The socket of this name comes with the message.
    Socket(String),
    /// Those were all.
    Complete,
}

/// What a successor says.
#[derive(Debug, Serialize, Deserialize)]
enum FromSuccessor {
    Serving,
    /// It cannot, and why.
    Failed(String),
}

/// The process before this one, which serves until this one does.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    sockets: Vec<Socket>,
}

impl Predecessor {
    /// The predecessor of this process, if it has one, with its sockets.
    ///
    /// # Errors
    /// A message for the operator when the predecessor is not understood.
    pub fn of_this_process() -> Result<Option<Predecessor>, String> {
        if std::env::var_os(VARIABLE).is_none_or(|value| value != PROTOCOL) {
            return Ok(None);
        }
        let line = std::io::stdin().as_fd().try_clone_to_owned().and_then(Channel::over);
        let channel = line.map_err(|error| format!("{VARIABLE} is set, but standard input is no socket: {error}"))?;
        Predecessor::over(channel).map(Some)
    }

    fn over(channel: Channel) -> Result<Predecessor, String> {
        let broken = |error| format!("the process before this one is not understood: {error}");
        channel.set_patience(Some(SUCCESSOR_PATIENCE)).map_err(broken)?;
        let mut sockets = Vec::new();
        loop {
            match channel.receive::<ToSuccessor>().map_err(broken)? {
                Some((ToSuccessor::Socket(name), Some(socket))) => sockets.push(Socket::taken_over(name, socket)),
                Some((ToSuccessor::Socket(name), None)) => {
                    return Err(format!("the socket {name} was not handed over"));
                }
                Some((ToSuccessor::Complete, _)) => return Ok(Predecessor { channel, sockets }),
                None => return Err("the process before this one ended before it had handed over".to_owned()),
            }
        }
    }

    /// Its sockets.
    pub fn take_sockets(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.sockets)
    }

    /// The line to it, for another thread.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn line(&self) -> Result<Channel, String> {
        self.channel.another().map_err(|error| format!("cannot talk to the process before this one: {error}"))
    }

    /// Tells it that this process serves.
    pub fn follow(&self) {
        // If it is gone, there is nobody who has to be told.
        let _ = self.channel.send(&FromSuccessor::Serving, None);
    }

    /// Tells it that this process cannot serve, so that whoever wanted the upgrade learns why.
    pub fn give_up(line: &Channel, why: &str) {
        let _ = line.send(&FromSuccessor::Failed(why.to_owned()), None);
    }
}

/// Starts successors.
#[derive(Clone)]
pub struct Upgrader(Arc<Shared>);

struct Shared {
    /// The program and its arguments, as this process was started.
    command: Vec<OsString>,
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    recorder: Recorder,
    sockets: Arc<Sockets>,
    /// Held by whoever hands over.
    turn: Mutex<()>,
    stop: Notify,
    handed_over: AtomicBool,
}

impl Upgrader {
    /// An upgrader for a process that listens on these sockets.
    pub fn new(gateway: Arc<Gateway>, ledger: Arc<Ledger>, recorder: Recorder, sockets: Arc<Sockets>) -> Upgrader {
        let command = std::env::args_os().collect();
        let (turn, stop, handed_over) = (Mutex::new(()), Notify::new(), AtomicBool::new(false));
        Upgrader(Arc::new(Shared { command, gateway, ledger, recorder, sockets, turn, stop, handed_over }))
    }

    /// Hands over to a successor: the number of its process.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub async fn upgrade(&self) -> Result<u32, String> {
        let (answer, told) = oneshot::channel();
        self.start(move |outcome| drop(answer.send(outcome)));
        told.await.unwrap_or_else(|_| Err("The upgrade could not be begun.".to_owned()))
    }

    /// The same soon; the log says what came of it.
    pub fn upgrade_soon(&self) {
        self.start(drop);
    }

    fn start(&self, done: impl FnOnce(Result<u32, String>) + Send + 'static) {
        let shared = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let outcome = shared.hand_over();
            match &outcome {
                Ok(process) => log::info!(
                    target: "tollgate::upgrade",
                    "process {process} has taken over; requests in flight finish here"
                ),
                Err(why) => log::error!(target: "tollgate::upgrade", "no upgrade, and nothing has changed: {why}"),
            }
            done(outcome);
        });
    }

    /// Whether a successor serves: whoever still comes here is told of the service, and not of a
    /// process that is about to end.
    pub fn has_handed_over(&self) -> bool {
        self.0.handed_over.load(Ordering::Acquire)
    }

    /// Returns when a successor has taken over.
    pub async fn succeeded(&self) {
        self.0.stop.notified().await;
    }
}

impl Shared {
    fn hand_over(&self) -> Result<u32, String> {
        if std::process::id() == 1 {
            return Err(
                "Process 1 of a container cannot hand over: the container ends with it. Replace the container."
                    .to_owned(),
            );
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Err("An upgrade is under way. Wait for its outcome.".to_owned()),
        };
        if self.handed_over.load(Ordering::Acquire) {
            return Err(JUST_HANDED_OVER.to_owned());
        }
        if self.gateway.is_stopping() {
            return Err("The process is about to end.".to_owned());
        }
        if self.ledger.is_stuck() {
            return Err(
                "The ledger cannot be written, and this process alone knows the charges that wait for it. Mend \
                        the ledger first; the log says what is wrong with it."
                    .to_owned(),
            );
        }
        let (near, far) = Channel::pair().map_err(|error| format!("There is no line to a successor: {error}."))?;
        let mut successor = Successor::start(&self.command, far)?;
        self.introduce(&near).map_err(|refusal| match refusal {
            UpgradeRefusal::Because(why) => why,
            UpgradeRefusal::Gone => successor.fate(),
        })?;
        let process = successor.released();
        self.handed_over.store(true, Ordering::Release);
        supervisor::tell(&format!("MAINPID={process}"));
        self.stop.notify_one();
        // What was counted up to now is history; the file is the successor's in a moment.
        self.recorder.flush();
        self.ledger.hand_over(near);
        Ok(process)
    }

    /// Gives the sockets to a successor, and waits until it serves.
    fn introduce(&self, successor: &Channel) -> Result<(), UpgradeRefusal> {
        let sockets = self.sockets.copies().map_err(UpgradeRefusal::Because)?;
        let told = |socket: &Socket| successor.send(&ToSuccessor::Socket(socket.name.clone()), Some(socket.as_fd()));
        let sent = sockets.iter().try_for_each(told).and_then(|()| successor.send(&ToSuccessor::Complete, None));
        sent.map_err(|_| UpgradeRefusal::Gone)?;
        let begun = Instant::now();
        let lost = |error| UpgradeRefusal::Because(format!("The successor is not understood: {error}."));
        successor.set_patience(Some(LOOK_INTERVAL)).map_err(lost)?;
        while begun.elapsed() < SUCCESSOR_PATIENCE {
            match successor.receive::<FromSuccessor>() {
                Ok(Some((FromSuccessor::Serving, _))) => return Ok(()),
                Ok(Some((FromSuccessor::Failed(why), _))) => return Err(UpgradeRefusal::Because(why)),
                Ok(None) => return Err(UpgradeRefusal::Gone),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(lost(error)),
                Err(_) if self.gateway.is_stopping() => {
                    return Err(UpgradeRefusal::Because("The process was told to end meanwhile.".to_owned()));
                }
                Err(_) => {}
            }
        }
        Err(UpgradeRefusal::Because(format!("The successor did not serve within {} s.", SUCCESSOR_PATIENCE.as_secs())))
    }
}

/// Why a successor does not follow.
enum UpgradeRefusal {
    /// It has ended without a word.
    Gone,
    Because(String),
}

/// A process that is to follow; it ends with this value, unless it was released.
struct Successor(Option<Child>);

impl Successor {
    fn start(command: &[OsString], line: Channel) -> Result<Successor, String> {
        let (program, arguments) = command.split_first().ok_or("The program's own name is not known.")?;
        Command::new(program)
            .args(arguments)
            .env(VARIABLE, PROTOCOL)
            .stdin(Stdio::from(line.into_end()))
            .spawn()
            .map(|child| Successor(Some(child)))
            .map_err(|error| format!("{} cannot be started: {error}.", program.display()))
    }

    /// How it has ended.
    fn fate(&mut self) -> String {
        let begun = Instant::now();
        let mut ended = None;
        while ended.is_none() && begun.elapsed() < ENDING_PATIENCE {
            ended = self.0.as_mut().and_then(|child| child.try_wait().ok().flatten());
            std::thread::sleep(ENDING_CHECK);
        }
        let how = ended.map_or_else(String::new, |status| format!(" ({status})"));
        format!("The successor ended before it served{how}; its own messages say why.")
    }

    /// Its number; it lives on.
    fn released(mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // One that has ended by itself cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
