//! The `--config` argument of commands.

use std::path::PathBuf;

/// The environment variable that names the file, if the flag is not given.
pub const VARIABLE: &str = "TOLLGATE_CONFIG";

/// The path of the file in packages.
pub const DEFAULT: &str = "/etc/tollgate/gateway.yaml";

/// The file of a configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The YAML file of the gateway; config/gateway.yaml explains every key.
    #[arg(short, long, env = VARIABLE, default_value = DEFAULT, value_name = "FILE")]
    pub config: PathBuf,
}
