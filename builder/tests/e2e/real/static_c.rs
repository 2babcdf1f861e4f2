//! One program, alone in its image.

use super::{BUILDAHS, Input, append};
use crate::support::image::podman_run;
use crate::support::tools::both;

const GREETING: &str = "Hello, world!\nbuilt from scratch\n";

#[test]
fn static_c() {
    let Some(input) = Input::prepare("static-c", &["debian-gcc"]) else { return };
    let peer = input.peer(None, &[]);
    for lab in input.users() {
        let context = lab.real_input("static-c");
        let pulled = input.build(&lab, &context, &[]);
        pulled.tree.assert_same(&peer.tree, &[]);
        let scratch = ("/config/WorkingDir", "BuildKit says / for what begins with scratch, and so do we");
        pulled.assert_same_config(&peer, &[BUILDAHS[0], BUILDAHS[1], BUILDAHS[2], scratch]);
        assert_eq!(pulled.tree.get("/etc/motd").mode, 0o444);

        let reference = input.reference(&lab);
        for output in [pulled.run(&[], &[]), podman_run(&reference, &lab.path("podman"), &[])] {
            assert_eq!(String::from_utf8_lossy(&output.stdout), GREETING, "{}", both(&output));
        }
        assert_eq!(lab.verb(["run", &reference]), GREETING);
        assert!(lab.verb(["run", "-e", "GREETING=Bye", &reference, "you"]).starts_with("Bye, you!\n"));

        append(&context, "motd", "edited");
        input.rebuild(&lab, &context, &[], &["COPY --chmod=0444 motd motd"]);
        append(&context, "src/greet.h", "/* edited */");
        input.rebuild(
            &lab,
            &context,
            &[],
            // The program comes out the same, so what is made from it is not made again.
            &[
                "COPY src/ ./",
                "RUN gcc -std=c11 -O2 -Wall -Wextra -Werror -static -s -o /out-greet greet.c main.c",
            ],
        );
        lab.assert_nothing_left();
    }
}
