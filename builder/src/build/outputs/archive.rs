//! `type=oci` and `type=docker`: an archive, a layout directory, or another engine of this machine.

use super::super::BuildError;
use super::load::load;
use super::{Kept, Made, failed};
use crate::blocking::blocking;
use crate::export;
use crate::request::{Output, OutputKind};
use registry_client::descriptor::Descriptor;
use registry_client::reference::Reference;
use std::io::Write;

impl Made<'_> {
    /// Writes it; says what its names point to.
    pub(super) async fn archive(
        &self,
        output: &Output,
        kept: &Kept,
        names: &[Reference],
    ) -> Result<Descriptor, BuildError> {
        let docker = output.kind == OutputKind::Docker;
        let what = if docker { "docker" } else { "oci" };
        let bundle = self.bundle(output, kept, names).await?;
        let top = bundle.top().descriptor.clone();
        let (store, output) = (self.store.clone(), output.clone());
        let path = self.environment.path.clone();
        let standard_output = self.environment.standard_output;
        blocking(move || {
            let write = |out: &mut dyn Write| {
                if docker {
                    export::docker_archive(&store, std::slice::from_ref(&bundle), out)
                } else {
                    export::oci_archive(&store, &bundle, out)
                }
            };
            match &output.dest {
                _ if output.load => load(&write, path.as_deref()),
                Some(dest) if !output.tar && !docker => {
                    export::oci_directory(&store, &bundle, dest).map_err(failed(what))
                }
                Some(dest) => export::write_file(dest, write).map_err(failed(what)),
                None => write(&mut standard_output().map_err(failed(what))?).map_err(failed(what)),
            }
        })
        .await
        .map(|()| top)
    }
}
