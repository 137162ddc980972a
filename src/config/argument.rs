//! The argument of every command that is about a configuration: its file.

use std::path::PathBuf;

/// The variable that names the file, where no flag does.
pub const VARIABLE: &str = "TOLLGATE_CONFIG";

/// Where packages put the file.
pub const DEFAULT: &str = "/etc/tollgate/gateway.yaml";

/// The file of a configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The YAML file of the gateway; config/gateway.yaml explains every key.
    #[arg(short, long, env = VARIABLE, default_value = DEFAULT, value_name = "FILE")]
    pub config: PathBuf,
}
