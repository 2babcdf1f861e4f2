//! `login`: asks a registry whether a password is right, and keeps it.

/// Flags of `build login`. A password is never an argument: every user of a machine can read those.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,

    /// The user name; asked for when it is missing
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,

    /// Read the password from standard input [default: ask on the terminal]
    #[arg(long)]
    pub password_stdin: bool,
}
