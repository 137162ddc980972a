//! A pooler before a PostgreSQL of the tests.

use std::process::{Child, Stdio};

use super::cluster::{PASSWORD, USER, give};
use super::database::{location, over_the_port};
use super::*;

/// pgbouncer in transaction mode, with two connections to the server.
pub struct Pooler {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Pooler {
    /// Starts one, for the databases of a cluster.
    pub fn start(cluster: &Cluster) -> Pooler {
        let port = cluster::free_port();
        let directory = std::env::temp_dir().join(format!("tollgate-pooler-{}-{port}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        let users = directory.join("users.txt");
        std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).unwrap();
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 2\nmax_client_conn = 100\n",
            cluster.directory.display(),
            cluster.port,
            users.display()
        );
        let file = directory.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        for path in [&users, &file, &directory] {
            give(path, 0o755);
        }
        let child = cluster::as_somebody("pgbouncer")
            .arg(&file)
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("pgbouncer is installed: apt-get install pgbouncer, or make tools");
        Pooler { child, directory, port }
    }

    /// A database by way of this, once it answers.
    pub fn settings(&self, settings: &PostgresSettings) -> PostgresSettings {
        let pooled = PostgresSettings { is_pooled: true, ..over_the_port(settings, self.port) };
        let began = std::time::Instant::now();
        while let Err(error) = open(location(&pooled)) {
            assert!(began.elapsed().as_secs() < 10, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        pooled
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
