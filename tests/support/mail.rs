//! A server that takes mail, and misbehaves where it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What one connection comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Accept,
    /// It says at once that it is not there.
    Closed,
    /// The recipient is refused with a code.
    RefuseRecipient(u16),
    /// It takes the message, and dies before it says so.
    Die,
}

/// A message as it was sent, with who it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub to: String,
    pub text: String,
    /// Whether the client was told that it was taken.
    pub is_told: bool,
}

/// The server.
pub struct MailSink {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl MailSink {
    /// Starts a server whose connections are as a function says, by their number.
    pub fn start(conduct: impl Fn(usize) -> Conduct + Send + 'static) -> MailSink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let seen = Arc::clone(&taken);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (conduct, taken) = (conduct(number), Arc::clone(&seen));
                // A client that breaks off is no fault of the server.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), conduct, &taken)));
            }
        });
        MailSink { address, taken }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, conduct: Conduct, taken: &Mutex<Vec<Taken>>) -> std::io::Result<()> {
    let mut out = stream;
    let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes());
    if conduct == Conduct::Closed {
        return say("421 mail.example.com is closed");
    }
    say("220 mail.example.com")?;
    let mut to = String::new();
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => say("250 mail.example.com")?,
            "RCPT" => match conduct {
                Conduct::RefuseRecipient(code) => say(&format!("{code} {line} is not known here"))?,
                _ => {
                    to = line.trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned();
                    say("250 ok")?;
                }
            },
            "DATA" => {
                say("354 go on")?;
                let text: Result<Vec<String>, _> =
                    lines.by_ref().take_while(|line| line.as_ref().is_ok_and(|line| line != ".")).collect();
                let is_told = conduct == Conduct::Accept;
                taken.lock().unwrap().push(Taken { to: to.clone(), text: text?.join("\n"), is_told });
                if !is_told {
                    return Ok(());
                }
                say("250 taken")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 ok")?,
        }
    }
    Ok(())
}
