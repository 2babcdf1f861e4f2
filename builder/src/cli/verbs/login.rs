//! `login`: asks a registry whether a password is right, and keeps it.

use crate::cli::failure::{Failure, UsageError};
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::{password, remote};
use crate::environment::Environment;
use crate::registry;
use registry_client::auth::Credentials;
use registry_client::credentials::{Kept, Store};
use std::io::{self, Write};

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

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Logs in.
///
/// # Errors
/// When the registry says no or is not there, or the password cannot be asked for or kept.
pub fn run(args: Args, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let name = remote::registry_name(&args.registry)?;
    if args.password_stdin && args.username.is_none() {
        return Err(UsageError::NoUserName.into());
    }
    let asked = |what| move |source| Failure::Ask { what, source };
    let username = match args.username {
        Some(username) => username,
        None => password::ask("Username: ").map_err(asked("the user name"))?,
    };
    let password = if args.password_stdin {
        password::from_pipe(&mut io::stdin().lock()).map_err(asked("the password"))?
    } else {
        password::ask_secretly("Password: ").map_err(asked("the password"))?
    };
    let credentials = Credentials::password(username, password);
    let client = registry::client_with(Store::of(&name, credentials.clone()), environment);
    let client = remote::telling(client);
    let (kept, verified) = remote::block_on(async {
        let verified = client.ping(&name).await?;
        let store = registry::client(environment).credentials()?;
        Ok((store.save(&name, &credentials).await?, verified))
    })?;
    // Some registries ask for it when something is pushed, and not before.
    let said = match verified {
        true => "Login succeeded.".to_owned(),
        false => format!("{name} did not ask for the password, so nobody knows whether it is right."),
    };
    let place = match kept {
        Kept::File(path) => format!("in {}, unencrypted", path.display()),
        Kept::Helper(name) => format!("with docker-credential-{name}"),
    };
    writeln!(out, "{said} The password is {place}.")?;
    Ok(())
}
