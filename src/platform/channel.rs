//! A channel between a process and its successor: small messages, in order and never split, which
//! can carry open files.
//!
//! It is a socket pair that no third process can reach: one end stays here, the other is the
//! standard input of the successor, so there is no path in the file system to which another process
//! could connect. The messages are defined in `operate/upgrade.rs` and `ledger/succession.rs`.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of one message, which has a few names and numbers.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How long sending waits for the other side to make room.
const SENDING_PATIENCE: Duration = Duration::from_secs(5);

/// One end of the channel.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Both ends of a new channel. Child processes do not inherit them, unless an end is passed
    /// explicitly.
    ///
    /// # Errors
    /// If the process has no file descriptors left.
    pub fn pair() -> Result<(Channel, Channel), Error> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Channel::over(one)?, Channel::over(other)?))
    }

    /// The end that this process was started with.
    ///
    /// # Errors
    /// If it is not a socket.
    pub fn over(end: OwnedFd) -> Result<Channel, Error> {
        set_socket_timeout(&end, Timeout::Send, Some(SENDING_PATIENCE))?;
        Ok(Channel(end))
    }

    /// Duplicates this end, for another thread.
    ///
    /// # Errors
    /// If the process has no file descriptors left.
    pub fn another(&self) -> Result<Channel, Error> {
        self.0.try_clone().map(Channel)
    }

    /// The end itself, to be passed to the successor.
    pub fn into_end(self) -> OwnedFd {
        self.0
    }

    /// How long [`receive`](Channel::receive) waits at most; `None`: until the other side is
    /// closed.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn set_patience(&self, patience: Option<Duration>) -> Result<(), Error> {
        Ok(set_socket_timeout(&self.0, Timeout::Recv, patience)?)
    }

    /// Sends a message, optionally with an open file.
    ///
    /// # Errors
    /// If the other side is closed, or does not receive it in time.
    pub fn send(&self, message: &impl Serialize, file: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Error::other("a message is too long"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(file) = &file
            && !control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(file)))
        {
            return Err(Error::other("there is no room for an open file"));
        }
        // Without SIGPIPE: a dead successor must not end this process.
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message, with the open file that came with it; `None` if the other side is closed.
    ///
    /// # Errors
    /// If none arrived in time, or if it cannot be parsed.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Option<OwnedFd>)>, Error> {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                received => break received?,
            }
        };
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        match bytes.get(..received.bytes) {
            Some([]) | None => Ok(None),
            Some(message) => {
                let message =
                    serde_json::from_slice(message).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
                Ok(Some((message, file)))
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order_and_their_files_with_them() {
        let (one, other) = Channel::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        one.send(&"first", None).unwrap();
        one.send(&"second", Some(far.as_fd())).unwrap();
        drop(far);
        let (text, file) = other.receive::<String>().unwrap().unwrap();
        assert_eq!((text.as_str(), file.is_none()), ("first", true));
        let (text, file) = other.receive::<String>().unwrap().unwrap();
        assert_eq!(text, "second");
        let mut far = UnixStream::from(file.unwrap());
        near.write_all(b"x").unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn an_end_that_is_gone_ends_the_line() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&1, None).unwrap();
        drop(one);
        assert_eq!(other.receive::<u8>().unwrap().unwrap().0, 1);
        assert!(other.receive::<u8>().unwrap().is_none());
        assert!(other.send(&1, None).is_err());
    }

    #[test]
    fn nobody_waits_for_ever_and_nonsense_is_an_error() {
        let (one, other) = Channel::pair().unwrap();
        other.set_patience(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(other.receive::<u8>().unwrap_err().kind(), ErrorKind::WouldBlock);
        one.send(&"no number", None).unwrap();
        assert_eq!(other.receive::<u8>().unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(one.send(&"x".repeat(MAX_MESSAGE_BYTES), None).is_err());
        // Sending to a peer that does not receive times out as well.
        let begun = std::time::Instant::now();
        while one.send(&"x".repeat(1000), None).is_ok() {}
        assert!(begun.elapsed() < SENDING_PATIENCE * 3);
    }
}
