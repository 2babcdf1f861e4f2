//! `RUN --mount`: what binds show, whom caches belong to, and what is left of mounts in the image.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// A context whose Dockerfile starts from busybox, with the files that the tests bind.
struct Bench<'l> {
    lab: &'l Lab,
    base: String,
    _registry: Registry,
}

impl<'l> Bench<'l> {
    fn new(lab: &'l Lab) -> Bench<'l> {
        let registry = Registry::start(&lab.path("docker"));
        let base = registry.push_base("busybox");
        lab.file("context/a.txt", "a\n");
        lab.file("context/dir/one", "one\n");
        lab.file("token", "s3cret");
        Bench { lab, base, _registry: registry }
    }

    /// `FROM` stands for `FROM` and the base.
    fn context(&self, dockerfile: &str) -> String {
        let text = dockerfile.replace("FROM base", &format!("FROM {}", self.base));
        self.lab.dockerfile("context", &text).display().to_string()
    }

    fn build(&self, arguments: &[&str], dockerfile: &str) -> Build {
        let context = self.context(dockerfile);
        self.lab.build(arguments.iter().copied().chain([&*context]))
    }

    fn token(&self) -> String {
        format!("--secret=id=token,src={}", self.lab.path("token").display())
    }
}

/// What `echo` said in the steps, in order.
fn said(build: &Build) -> Vec<String> {
    let lines = build.text.lines().filter_map(|line| line.split_once(" said "));
    lines
        .filter(|(head, _)| head.starts_with('#') && !head.contains('['))
        .map(|(_, said)| said.to_owned())
        .collect()
}

as_everyone!(binds, TOOLS, |lab| {
    let bench = Bench::new(lab);
    let built = bench.build(
        &[],
        "FROM base AS made\nRUN mkdir /out && echo made > /out/file && ln -s ../../etc /out/up\n\
         FROM base\nWORKDIR /work\n\
         RUN --mount=target=all echo said $(ls -A all) && ! touch all/new 2>/dev/null\n\
         RUN --mount=target=/rw,source=dir,rw echo new > /rw/new && echo said $(ls /rw)\n\
         RUN --mount=target=/rw,source=dir echo said $(ls /rw)\n\
         RUN --mount=target=/file,source=a.txt echo said $(cat /file)\n\
         RUN --mount=type=bind,from=made,source=/out,dst=/m echo said $(cat /m/file)\n\
         RUN --mount=from=0,src=/out/file,destination=/m echo said $(cat /m)\n\
         RUN --mount=from=made,source=/out/up,target=/m echo said $(ls /m | grep passwd)\n\
         RUN --mount=source=dir echo said $(pwd) $(ls)\n\
         RUN echo said left $(ls -A /work)\n",
    );
    assert_eq!(
        said(&built),
        ["Dockerfile a.txt dir", "new one", "one", "a", "made", "made", "passwd", "/work one", "left"]
    );
    // Only what a mount shows is in the key of its RUN.
    bench.lab.file("context/other", "other");
    let text = "FROM base\nRUN --mount=target=/d,source=dir cat /d/one\n";
    bench.build(&[], text);
    bench.lab.file("context/a.txt", "changed");
    bench.build(&[], text).assert_all_cached();
    bench.lab.file("context/dir/one", "changed");
    assert_eq!(bench.build(&[], text).executed().len(), 1);
    lab.assert_nothing_left();
});

as_everyone!(mistakes, TOOLS, |lab| {
    let bench = Bench::new(lab);
    for (mount, wanted) in [
        ("source=dir", "without target= it is the working directory"),
        ("type=cache", "a mount cannot take the place of /"),
        ("type=tmpfs,target=/", "a mount cannot take the place of /"),
        ("target=/x,source=absent", "\"absent\" not found"),
        ("target=/x,from=9", "there is no stage 9"),
        ("type=secret,id=absent,required", "the secret \"absent\" is required"),
        ("type=image,target=/x", "type"),
    ] {
        let context = bench.context(&format!("FROM base\nRUN --mount={mount} true\n"));
        lab.try_build([&context]).assert_refused(1, &[wanted, "Dockerfile:2:"]);
    }
    lab.assert_nothing_left();
});

as_everyone!(secrets_are_in_no_image, TOOLS, |lab| {
    let bench = Bench::new(lab);
    let text = "FROM base\nRUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token test \"$TOKEN\" = \"$(cat /run/secrets/token)\"\n";
    bench.build(&["--tag=secrets", &bench.token()], text);
    let archive = lab.path("home/image.tar");
    lab.verb(["save", "--output", archive.to_str().expect("text"), "secrets"]);
    let bytes = std::fs::read(&archive).expect("it was saved");
    assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "the image holds the secret");
    lab.file("token", vec![b'x'; (500 << 10) + 1]);
    let context = bench.context("FROM base\nRUN --mount=type=secret,id=token true\n");
    lab.try_build([&*bench.token(), &context]).assert_refused(1, &["larger than 500 KiB"]);
    lab.assert_nothing_left();
});

as_everyone!(caches, TOOLS, |lab| {
    let bench = Bench::new(lab);
    let lines = |arguments: &[&str], mount: &str| {
        let text =
            format!("FROM base\nRUN --mount=type=cache,{mount} echo x >> /c/f; echo said $(wc -l < /c/f)\n");
        said(&bench.build(&[arguments, &["--no-cache"]].concat(), &text)).join(" ")
    };
    // Builds share it by its target, or by an id.
    assert_eq!(
        ["target=/c", "target=/c/", "id=/c,target=/c", "id=own,target=/c"].map(|mount| lines(&[], mount)),
        ["1", "2", "3", "1"]
    );
    // It is kept apart by the name space that the command line gives.
    let space = "--build-arg=BUILDKIT_CACHE_MOUNT_NS=apart";
    assert_eq!(
        [lines(&[space], "target=/c"), lines(&[space], "target=/c"), lines(&[], "target=/c")],
        ["1", "2", "4"]
    );
    let built = bench.build(
        &[],
        "FROM base\nRUN --mount=type=cache,id=owned,target=/c,mode=0700,uid=5,gid=6 echo said $(stat -c '%a %u:%g' /c)\n\
         RUN --mount=type=cache,id=/c,target=/d,ro ! touch /d/new 2>/dev/null && echo said $(wc -l < /d/f)\n\
         RUN --mount=type=cache,id=/c,target=/d true && echo said left $(ls -A /d)\n",
    );
    assert_eq!(said(&built), ["700 5:6", "4", "left f"]);
    let left = bench.build(&[], "FROM base\nRUN test ! -e /c -a ! -e /d && echo said gone\n");
    assert_eq!(said(&left), ["gone"]);
    lab.assert_nothing_left();
});

as_everyone!(nothing_is_left_of_mounts, TOOLS, |lab| {
    let bench = Bench::new(lab);
    let built = bench.build(
        &[&bench.token()],
        "FROM base AS with\n\
         RUN --mount=type=tmpfs,target=/new/deep,size=1m --mount=target=/home/bound --mount=type=secret,id=token,target=/opt/s \
         echo x > /new/deep/x && df -k /new/deep | grep -q 1024 && echo edited >> /etc/hosts && echo edited > /etc/resolv.conf && echo kept > /kept\n\
         FROM base\nRUN --mount=from=with,target=/w echo said $(ls -A /w/home /w/tmp) $(cat /w/kept); \
         for gone in new opt run etc/hosts etc/resolv.conf etc/hostname; do test ! -e /w/$gone || echo said left $gone; done\n",
    );
    assert_eq!(said(&built), ["/w/home: /w/tmp: kept"]);
    lab.assert_nothing_left();
});

as_everyone!(names_that_nobody_has, TOOLS, |lab| {
    let bench = Bench::new(lab);
    for instructions in [
        "COPY --chown=ghost a.txt /",
        "COPY --chown=0:ghost a.txt /",
        "USER ghost\nWORKDIR /new",
        "USER ghost\nRUN true",
    ] {
        let context = bench.context(&format!("FROM base\n{instructions}\n"));
        // The name is marked, and not what runs under it.
        let refused = lab.try_build([&context]);
        refused.assert_refused(1, &["named \"ghost\"", "Dockerfile:2:"]);
        assert!(!refused.text.contains("Dockerfile:2:1\n"), "{}", refused.text);
    }
    lab.assert_nothing_left();
});

as_everyone!(the_user_of_an_image, TOOLS, |lab| {
    let bench = Bench::new(lab);
    let passwd = "COPY --chmod=644 <<EOF /etc/passwd\napp:x:7:8::/:\nEOF\n";
    for text in [
        format!("FROM scratch\n{passwd}USER app\n"),
        format!("FROM scratch\nUSER app\n{passwd}"),
        "FROM scratch\nUSER 7:8\n".to_owned(),
        "FROM scratch\nUSER root\n".to_owned(),
        "FROM base\nUSER late\nUSER root\nRUN echo late:x:7:8::/:/bin/sh >> /etc/passwd\nUSER late\nRUN id -u\n".to_owned(),
    ] {
        let context = bench.context(&text);
        lab.build([&context]);
        assert!(lab.build([&context]).executed().is_empty(), "{text}");
    }
    for (text, expected) in [
        (
            "FROM base\nUSER deamon\n".to_owned(),
            &["no user named \"deamon\"", "Dockerfile:2:6", "did you mean daemon?"][..],
        ),
        ("FROM base\nUSER 7:ghost\n".to_owned(), &["no group named \"ghost\"", "Dockerfile:2:6"]),
        (format!("FROM scratch\n{passwd}USER apq\n"), &["\"apq\"", "Dockerfile:5:6", "did you mean app?"]),
        ("FROM scratch\nUSER app\n".to_owned(), &["the image has no /etc/passwd", "numeric id"]),
        ("FROM base AS one\nUSER ghost\nFROM one\nLABEL a=b\n".to_owned(), &["\"ghost\"", "Dockerfile:2:6"]),
    ] {
        let context = bench.context(&text);
        // What was found once is found again, though every step is cached then.
        for _ in 0..2 {
            lab.try_build([&context]).assert_refused(1, expected);
        }
    }
    // Files alone run nothing.
    let context = bench.context("FROM scratch\nCOPY a.txt /\nUSER ghost\n");
    let out = format!("type=local,dest={}", lab.path("home/files").display());
    lab.build(["-o", &out, &context]);
    lab.assert_nothing_left();
});
