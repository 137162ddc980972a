//! A PostgreSQL of the tests' own: one for a process, with a socket and a port of the loopback, and a database for each
//! test. It ends with the process, however that ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};

/// The user of the gateway, who owns the databases, and its password over the port.
pub const USER: &str = "tollgate";
pub const PASSWORD: &str = "a-password";

/// The database of which others are copies.
const TEMPLATE: &str = "tollgate_template";

/// Makes the tables in the template.
pub type Migrate = fn(&Cluster, &str);

/// A cluster that runs.
pub struct Cluster {
    pub directory: PathBuf,
    pub port: u16,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
    template: Mutex<bool>,
}

/// What runs the server, and what it answers.
struct Keeper {
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// The cluster of this process.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// The directory of PostgreSQL's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    newest.expect("PostgreSQL is installed: apt-get install postgresql, or make tools")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// PostgreSQL does not run as root.
pub fn as_somebody(program: &str) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    }
}

/// Who PostgreSQL runs as, if that is not who the tests run as.
fn somebody() -> Option<(u32, u32)> {
    let id = |which: &str| {
        let told = Command::new("id").args([which, "postgres"]).output().unwrap().stdout;
        String::from_utf8(told).unwrap().trim().parse::<u32>().unwrap()
    };
    is_root().then(|| (id("-u"), id("-g")))
}

/// Gives a file to whoever PostgreSQL runs as, and to nobody else.
pub fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if let Some((user, group)) = somebody() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs the server, kills it and starts it again as it is told, and stops it once nobody can tell it anything any more.
const KEEPER: &str = r#"
start() { "$1/postgres" -D "$2/data" >> "$2/log" 2>&1 < /dev/null & server=$!; }
start "$1" "$2"
while read word; do
  case "$word" in
    kill)
      children=$(cat /proc/$server/task/$server/children)
      kill -9 $server $children 2>/dev/null
      wait $server 2>/dev/null
      echo killed ;;
    pause | go)
      children=$(cat /proc/$server/task/$server/children)
      kill -$([ "$word" = pause ] && echo STOP || echo CONT) $server $children 2>/dev/null
      echo done ;;
    start)
      kill -0 $server 2>/dev/null || start "$1" "$2" ;;
  esac
done
kill -CONT $server $(cat /proc/$server/task/$server/children) 2>/dev/null
kill -INT $server 2>/dev/null
wait $server
rm -rf "$2"
"#;

const SETTINGS: &str = "
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 200
autovacuum = off
listen_addresses = '127.0.0.1'
log_min_messages = warning
max_wal_size = 200MB
";

const WHO_MAY: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

impl Cluster {
    /// Starts one.
    pub fn start() -> Cluster {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tollgate-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        give(&directory, 0o755);
        let (bin, data, port) = (programs(), directory.join("data"), free_port());
        let made = as_somebody(bin.join("initdb").to_str().unwrap())
            .args(["-D", data.to_str().unwrap(), "-U", "postgres", "-A", "trust", "--no-sync"])
            .args(["--locale=C", "-E", "UTF8"])
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let more = format!("port = {port}\nunix_socket_directories = '{}'\n", directory.display());
        let settings = data.join("postgresql.conf");
        fs::write(&settings, format!("{SETTINGS}{more}")).unwrap();
        fs::write(data.join("pg_hba.conf"), WHO_MAY).unwrap();
        let mut child = as_somebody("sh")
            .args(["-c", KEEPER, "keeper", bin.to_str().unwrap(), directory.to_str().unwrap()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keeper = Keeper { answers: BufReader::new(child.stdout.take().unwrap()), child };
        let (databases, template) = (AtomicU32::new(0), Mutex::new(false));
        let cluster = Cluster { directory, port, keeper: Mutex::new(keeper), databases, template };
        let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'");
        cluster.administrator().batch_execute(&role).unwrap();
        cluster
    }

    /// A connection of the administrator's, once the server answers.
    pub fn administrator(&self) -> Client {
        self.connect("postgres", "postgres")
    }

    /// A connection to a database, once the server answers.
    pub fn connect(&self, user: &str, database: &str) -> Client {
        let began = Instant::now();
        let mut config = Config::new();
        config.host_path(&self.directory).port(self.port).user(user).dbname(database);
        loop {
            match config.connect(NoTls) {
                Ok(client) => return client,
                Err(error) => assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "{error}: {}",
                    fs::read_to_string(self.directory.join("log")).unwrap_or_default()
                ),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A new, empty database.
    pub fn empty(&self) -> String {
        self.make("template1")
    }

    /// A new database with the tables of a store, which `migrate` makes once.
    pub fn store(&self, migrate: Migrate) -> String {
        let mut is_made = self.template.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*is_made {
            let create = format!("CREATE DATABASE {TEMPLATE} OWNER {USER} TEMPLATE template1");
            self.administrator().batch_execute(&create).unwrap();
            migrate(self, TEMPLATE);
            *is_made = true;
        }
        self.make(TEMPLATE)
    }

    fn make(&self, template: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("store_{number}");
        let create = format!("CREATE DATABASE {name} OWNER {USER} TEMPLATE {template}");
        self.administrator().batch_execute(&create).unwrap();
        name
    }

    /// kill -9 of the server and everything that belongs to it.
    pub fn kill(&self) {
        self.tell("kill");
        let mut keeper = self.keeper.lock().unwrap();
        keeper.answers.read_line(&mut String::new()).unwrap();
    }

    /// The server and everything that belongs to it stand still, while connections to it are made and acknowledged.
    pub fn stand_still(&self) {
        self.tell("pause");
        self.keeper.lock().unwrap().answers.read_line(&mut String::new()).unwrap();
    }

    /// It goes on after that.
    pub fn go_on(&self) {
        self.tell("go");
        self.keeper.lock().unwrap().answers.read_line(&mut String::new()).unwrap();
    }

    /// Starts it again after it was killed, and waits until it answers.
    pub fn start_again(&self) {
        let began = Instant::now();
        let mut config = Config::new();
        config.host_path(&self.directory).port(self.port).user("postgres").dbname("postgres");
        while config.connect(NoTls).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not start again");
            self.tell("start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(keeper.child.stdin.take());
        let _ = keeper.child.wait();
    }
}
