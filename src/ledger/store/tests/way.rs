//! The way to a database: passwords that change, and TLS.

use super::cluster::{PASSWORD, USER, give};
use super::database::{location, make, names, over_the_port, store};
use super::*;

#[test]
fn another_password_is_used_as_soon_as_it_is_in_its_file() {
    let cluster = Cluster::start();
    let settings = new_in(&cluster);
    let file = std::env::temp_dir().join(format!("tollgate-pg-password-{}", std::process::id()));
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let settings =
        PostgresSettings { password: PostgresPassword::File(file.clone()), ..over_the_port(&settings, cluster.port) };
    let store = store(&settings, 1);
    make(&store, "acme").unwrap();
    let everybody_out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'");
    let mut administrator = cluster.administrator();
    administrator.batch_execute(&format!("ALTER ROLE {USER} PASSWORD 'another one'")).unwrap();
    make(&store, "bee").unwrap();
    administrator.batch_execute(&everybody_out).unwrap();
    let refused = make(&store, "cat").unwrap_err().to_string();
    assert!(refused.contains("refuses the user or the password") && refused.contains("28P01"), "{refused}");
    std::fs::write(&file, "another one").unwrap();
    make(&store, "cat").unwrap();
    std::fs::remove_file(&file).unwrap();
    administrator.batch_execute(&everybody_out).unwrap();
    assert!(make(&store, "dog").unwrap_err().is_passing());
    std::fs::write(&file, "another one").unwrap();
    make(&store, "dog").unwrap();
    assert_eq!(names(&settings).len(), 4);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_server_is_verified_before_it_is_told_anything() {
    let cluster = Cluster::start();
    let settings = new_in(&cluster);
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let path = std::env::temp_dir().join(format!("tollgate-pg-{name}-{}.pem", std::process::id()));
        std::fs::write(&path, certificate).unwrap();
        (path, rcgen::Issuer::new(params, key))
    };
    let ((ours, issuer), (strange, _)) = (authority("ours"), authority("strange"));
    let key = rcgen::KeyPair::generate().unwrap();
    let names_of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let certificate =
        rcgen::CertificateParams::new(names_of(&["127.0.0.1"])).unwrap().signed_by(&key, &issuer).unwrap();
    let data = cluster.directory.join("data");
    std::fs::write(data.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(data.join("server.key"), key.serialize_pem()).unwrap();
    for name in ["server.crt", "server.key"] {
        give(&data.join(name), 0o600);
    }
    std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        .unwrap();
    let mut administrator = cluster.administrator();
    administrator.batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
    administrator.batch_execute("SELECT pg_reload_conf()").unwrap();
    let plain = over_the_port(&settings, cluster.port);
    let verified = |file: &PathBuf, name: &str| PostgresSettings {
        hosts: vec![PostgresHost { name: name.to_owned(), port: cluster.port }],
        encryption: Encryption::Verified { authorities: Some(file.clone()) },
        ..plain.clone()
    };
    let began = std::time::Instant::now();
    let connection = loop {
        match open(location(&verified(&ours, "127.0.0.1"))) {
            Ok(connection) => break connection,
            Err(error) => assert!(began.elapsed().as_secs() < 10, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let is_secured = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(connection.query_row(is_secured, (), |row| row.get::<bool>(0)).unwrap());
    for (refused, why) in [
        (verified(&strange, "127.0.0.1"), "an authority that is not trusted"),
        (verified(&ours, "localhost"), "another name"),
        (plain, "no TLS"),
    ] {
        assert!(open(location(&refused)).is_err_and(|error| error.is_passing()), "{why}");
    }
    for file in [ours, strange] {
        std::fs::remove_file(file).unwrap();
    }
}
