//! Handing over to a successor: another process of the program, newer or with other settings, which
//! gets the sockets without closing them, and takes over once it serves.
//!
//! The successor is started by this process, with the same command line, so that a supervisor sees
//! one service. Until the successor reports that it serves, nothing changes: if it cannot be
//! started, fails, hangs or dies, this process continues. Then the ledger is handed over
//! (`ledger/succession.rs`), requests in flight finish, and this process ends. Pingora's own
//! handover stops the old process without knowing whether the new one works.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use crate::downstream::sockets::{ListenError, Socket, Sockets};
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::operate::status_recorder::Recorder;
use crate::platform::channel::Channel;
use crate::platform::supervisor;

/// The time limit for a successor to serve: a million accounts take some seconds.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is checked meanwhile whether this process is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The time limit for a successor that has closed the channel to end, so that its exit status is
/// known.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);

/// How often it is checked whether it has ended.
const ENDING_CHECK: Duration = Duration::from_millis(10);

/// The environment variable that says that standard input is the channel to the predecessor.
const VARIABLE: &str = "TOLLGATE_PREDECESSOR";

/// The value of the variable. A successor that does not know this protocol fails, since its
/// addresses are in use.
const PROTOCOL: &str = "stdin-1";

/// Messages to a successor.
#[derive(Debug, Serialize, Deserialize)]
enum ToSuccessor {
    /// The socket of this name comes with the message.
    Socket(String),
    /// All sockets were sent.
    Complete,
}

/// Messages from a successor.
#[derive(Debug, Serialize, Deserialize)]
enum FromSuccessor {
    Serving,
    /// It cannot serve, and why.
    Failed(String),
}

/// The predecessor, which serves until this process does.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    sockets: Vec<Socket>,
}

impl Predecessor {
    /// The predecessor of this process, if it has one, with its sockets.
    ///
    /// # Errors
    /// That the predecessor's messages are not understood.
    pub fn of_this_process() -> Result<Option<Predecessor>, PredecessorError> {
        if std::env::var_os(VARIABLE).is_none_or(|value| value != PROTOCOL) {
            return Ok(None);
        }
        let line = std::io::stdin().as_fd().try_clone_to_owned().and_then(Channel::over);
        let channel = line.map_err(PredecessorError::NoChannel)?;
        Predecessor::over(channel).map(Some)
    }

    fn over(channel: Channel) -> Result<Predecessor, PredecessorError> {
        let broken = PredecessorError::NotUnderstood;
        channel.set_patience(Some(SUCCESSOR_PATIENCE)).map_err(broken)?;
        let mut sockets = Vec::new();
        loop {
            match channel.receive::<ToSuccessor>().map_err(broken)? {
                Some((ToSuccessor::Socket(name), Some(socket))) => sockets.push(Socket::taken_over(name, socket)),
                Some((ToSuccessor::Socket(name), None)) => {
                    return Err(PredecessorError::NoSocket(name));
                }
                Some((ToSuccessor::Complete, _)) => return Ok(Predecessor { channel, sockets }),
                None => return Err(PredecessorError::Ended),
            }
        }
    }

    /// Its sockets.
    pub fn take_sockets(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.sockets)
    }

    /// The channel to it, for another thread.
    ///
    /// # Errors
    /// That there is none.
    pub fn line(&self) -> Result<Channel, PredecessorError> {
        self.channel.another().map_err(PredecessorError::NoLine)
    }

    /// Reports to it that this process serves.
    pub fn follow(&self) {
        // Fails if it has ended, which does not matter.
        let _ = self.channel.send(&FromSuccessor::Serving, None);
    }

    /// Reports to it that this process cannot serve, and why, for the answer to the upgrade.
    pub fn give_up(line: &Channel, why: &str) {
        let _ = line.send(&FromSuccessor::Failed(why.to_owned()), None);
    }
}

/// Why the process before this one cannot be followed.
#[derive(Debug)]
pub enum PredecessorError {
    /// Standard input is not the channel that the environment says it is.
    NoChannel(io::Error),
    NotUnderstood(io::Error),
    /// The message of the socket with this name came without the socket.
    NoSocket(String),
    /// It ended before it had handed over.
    Ended,
    /// There is no further channel to it.
    NoLine(io::Error),
}

impl fmt::Display for PredecessorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PredecessorError::NoChannel(error) => {
                write!(formatter, "{VARIABLE} is set, but standard input is not a socket: {error}")
            }
            PredecessorError::NotUnderstood(error) => {
                write!(formatter, "cannot understand the predecessor: {error}")
            }
            PredecessorError::NoSocket(name) => write!(formatter, "the socket {name} was not handed over"),
            PredecessorError::Ended => formatter.write_str("the predecessor ended before it had handed over"),
            PredecessorError::NoLine(error) => {
                write!(formatter, "cannot communicate with the predecessor: {error}")
            }
        }
    }
}

impl std::error::Error for PredecessorError {}

/// Why no successor has taken over, in a sentence for whoever asked for one. Nothing has changed then.
#[derive(Debug)]
pub enum UpgradeError {
    /// The process is the first of a container, which ends with it.
    FirstProcess,
    UnderWay,
    /// A successor serves already.
    HandedOver,
    /// The process is about to end.
    Ending,
    /// This process alone knows charges that are not written yet.
    LedgerStuck,
    /// There is no channel to a successor.
    NoChannel(io::Error),
    /// The program's own name is not known.
    NoProgram,
    NotStarted(OsString, io::Error),
    /// The sockets cannot be handed over.
    Sockets(ListenError),
    NotUnderstood(io::Error),
    /// The successor says why it cannot serve.
    Failed(String),
    /// It has ended before it served; how, if that is known.
    Ended(Option<ExitStatus>),
    /// It did not serve in time.
    TooSlow,
    /// The process was told to stop meanwhile.
    Stopped,
    NotBegun,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            UpgradeError::FirstProcess => {
                "Process 1 of a container cannot hand over: the container ends with it. Replace the container."
            }
            UpgradeError::UnderWay => "An upgrade is in progress. Wait for its result.",
            UpgradeError::HandedOver => "A successor has just taken over. Send the request again to reach it.",
            UpgradeError::Ending => "The process is about to end.",
            UpgradeError::LedgerStuck => {
                "The ledger cannot be written, and only this process knows the charges that wait for it. Fix \
                 the ledger first; the log says what is wrong with it."
            }
            UpgradeError::NoChannel(error) => {
                return write!(formatter, "Cannot create a channel to a successor: {error}.");
            }
            UpgradeError::NoProgram => "The program's own name is not known.",
            UpgradeError::NotStarted(program, error) => {
                return write!(formatter, "{} cannot be started: {error}.", program.display());
            }
            UpgradeError::Sockets(error) => return error.fmt(formatter),
            UpgradeError::NotUnderstood(error) => {
                return write!(formatter, "Cannot understand the successor: {error}.");
            }
            UpgradeError::Failed(why) => why,
            UpgradeError::Ended(Some(status)) => {
                return write!(formatter, "The successor ended before it served ({status}); {SEE_ITS_MESSAGES}");
            }
            UpgradeError::Ended(None) => {
                return write!(formatter, "The successor ended before it served; {SEE_ITS_MESSAGES}");
            }
            UpgradeError::TooSlow => {
                return write!(formatter, "The successor did not serve within {} s.", SUCCESSOR_PATIENCE.as_secs());
            }
            UpgradeError::Stopped => "The process was told to stop meanwhile.",
            UpgradeError::NotBegun => "The upgrade could not be started.",
        })
    }
}

impl std::error::Error for UpgradeError {}

/// Where to look when a successor ends without a word.
const SEE_ITS_MESSAGES: &str = "its own output says why.";

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
    /// Held during a handover.
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

    /// Hands over to a successor; returns its process ID.
    ///
    /// # Errors
    /// Why the upgrade failed; nothing has changed.
    pub async fn upgrade(&self) -> Result<u32, UpgradeError> {
        let (answer, told) = oneshot::channel();
        self.start(move |outcome| drop(answer.send(outcome)));
        told.await.unwrap_or(Err(UpgradeError::NotBegun))
    }

    /// Starts an upgrade in the background; the log has the result.
    pub fn upgrade_soon(&self) {
        self.start(drop);
    }

    fn start(&self, done: impl FnOnce(Result<u32, UpgradeError>) + Send + 'static) {
        let shared = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let outcome = shared.hand_over();
            match &outcome {
                Ok(process) => log::info!(
                    target: "tollgate::upgrade",
                    "process {process} has taken over; finishing requests in flight"
                ),
                Err(why) => {
                    log::error!(target: "tollgate::upgrade", "the upgrade failed, and nothing has changed: {why}")
                }
            }
            done(outcome);
        });
    }

    /// Whether a successor serves. Health checks that still reach this process then report the
    /// service as ready.
    pub fn has_handed_over(&self) -> bool {
        self.0.handed_over.load(Ordering::Acquire)
    }

    /// Returns when a successor has taken over.
    pub async fn succeeded(&self) {
        self.0.stop.notified().await;
    }
}

impl Shared {
    fn hand_over(&self) -> Result<u32, UpgradeError> {
        if std::process::id() == 1 {
            return Err(UpgradeError::FirstProcess);
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(UpgradeError::UnderWay),
        };
        if self.handed_over.load(Ordering::Acquire) {
            return Err(UpgradeError::HandedOver);
        }
        if self.gateway.is_stopping() {
            return Err(UpgradeError::Ending);
        }
        if self.ledger.is_stuck() {
            return Err(UpgradeError::LedgerStuck);
        }
        let (near, far) = Channel::pair().map_err(UpgradeError::NoChannel)?;
        let mut successor = Successor::start(&self.command, far)?;
        self.introduce(&near).map_err(|error| match error {
            UpgradeError::Ended(_) => UpgradeError::Ended(successor.status()),
            error => error,
        })?;
        let process = successor.released();
        self.handed_over.store(true, Ordering::Release);
        supervisor::tell(&format!("MAINPID={process}"));
        self.stop.notify_one();
        // Saves the counts so far, before the successor gets the file.
        self.recorder.flush();
        self.ledger.hand_over(near);
        Ok(process)
    }

    /// Gives the sockets to a successor, and waits until it serves.
    fn introduce(&self, successor: &Channel) -> Result<(), UpgradeError> {
        let sockets = self.sockets.copies().map_err(UpgradeError::Sockets)?;
        let told = |socket: &Socket| successor.send(&ToSuccessor::Socket(socket.name.clone()), Some(socket.as_fd()));
        let sent = sockets.iter().try_for_each(told).and_then(|()| successor.send(&ToSuccessor::Complete, None));
        sent.map_err(|_| UpgradeError::Ended(None))?;
        let begun = Instant::now();
        successor.set_patience(Some(LOOK_INTERVAL)).map_err(UpgradeError::NotUnderstood)?;
        while begun.elapsed() < SUCCESSOR_PATIENCE {
            match successor.receive::<FromSuccessor>() {
                Ok(Some((FromSuccessor::Serving, _))) => return Ok(()),
                Ok(Some((FromSuccessor::Failed(why), _))) => return Err(UpgradeError::Failed(why)),
                Ok(None) => return Err(UpgradeError::Ended(None)),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(UpgradeError::NotUnderstood(error)),
                Err(_) if self.gateway.is_stopping() => return Err(UpgradeError::Stopped),
                Err(_) => {}
            }
        }
        Err(UpgradeError::TooSlow)
    }
}

/// A starting successor; it is killed when this is dropped, unless it was released.
struct Successor(Option<Child>);

impl Successor {
    fn start(command: &[OsString], line: Channel) -> Result<Successor, UpgradeError> {
        let (program, arguments) = command.split_first().ok_or(UpgradeError::NoProgram)?;
        Command::new(program)
            .args(arguments)
            .env(VARIABLE, PROTOCOL)
            .stdin(Stdio::from(line.into_end()))
            .spawn()
            .map(|child| Successor(Some(child)))
            .map_err(|error| UpgradeError::NotStarted(program.clone(), error))
    }

    /// How it ended.
    fn status(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        let mut ended = None;
        while ended.is_none() && begun.elapsed() < ENDING_PATIENCE {
            ended = self.0.as_mut().and_then(|child| child.try_wait().ok().flatten());
            std::thread::sleep(ENDING_CHECK);
        }
        ended
    }

    /// Returns its process ID; it is not killed.
    fn released(mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Fails if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
