//! Mirrors and blocked names: what the machine and the command line say about registries.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::{Registry, free_address};
use crate::support::tools::{both, output, run, tool};
use crate::support::tunnel::Tunnel;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

as_everyone!(mirrors, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
        .arg(format!("dir:{}", bases::base("busybox").display()))
        .arg(format!("docker://{}", registry.reference("hub/library/tools:1"))));
    let context = lab.dockerfile("context", "FROM tools:1\nRUN echo from the mirror\n");
    let nobody = free_address();

    // The first mirror is not there; the second is, and serves what docker.io is asked for.
    let built = lab.build([
        "--no-cache",
        "--registry-mirror",
        &format!("http://{nobody}"),
        "--registry-mirror",
        &format!("http://{}/hub", registry.name()),
        context.to_str().expect("the path is text"),
    ]);
    assert!(built.text.contains("this mirror was of no use"), "{}", built.text);

    // The same by a file, for a registry that does not exist.
    let conf = lab.file(
        "registries.conf",
        format!(
            "[[registry]]\nprefix = 'images.example'\nlocation = '{nobody}'\n[[registry.mirror]]\nlocation = '{}/hub'\n\
             [[registry]]\nprefix = 'images.example/secret'\nlocation = 'images.example/secret'\nblocked = true\n",
            registry.name()
        ),
    );
    let with_conf = |arguments: &[&Path]| {
        let mut command = lab.command(["build", "--progress=plain"]);
        command.args(arguments).env("CONTAINERS_REGISTRIES_CONF", &conf);
        crate::support::output::Build::from(output(&mut command))
    };
    let context = lab.dockerfile("mirrored", "FROM images.example/library/tools:1\nRUN echo mirrored\n");
    let built = with_conf(&[&context]);
    assert_eq!(built.status, Some(0), "{}", built.text);
    assert!(!built.text.contains("of no use"), "{}", built.text);

    let context = lab.dockerfile("blocked", "FROM images.example/secret/app:1\nRUN echo\n");
    with_conf(&[&context])
        .assert_refused(1, &["\"images.example/secret\" is blocked by", "registries.conf", "Dockerfile:1:"]);

    // A file that nobody can understand is not passed over.
    lab.file("registries.conf", "[[registry]]\nplace = 'x'\n");
    let context = lab.dockerfile("broken", "FROM images.example/other:1\nRUN echo\n");
    with_conf(&[&context]).assert_refused(1, &["registries.conf cannot be used", "unknown field `place`"]);
    lab.assert_nothing_left();
});

as_everyone!(keys_of_a_later_version, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let conf = lab.file("registries.conf", "future-key = 1\n");
    let password = lab.file("password", "secret");
    let context = lab.dockerfile("context", &format!("FROM {base}\nLABEL a=b\n"));
    let context = context.to_str().expect("the path is text");
    for arguments in [
        // First, for it asks nobody for what is known.
        &["build", "--call=check", context][..],
        &["build", "--lock", context],
        &["inspect", "--raw", &base],
        &["inspect", "--remote", &base],
        &["manifest", "inspect", &base],
        &["login", "-u", "someone", "--password-stdin", &registry.name()],
        &["pull", &base],
    ] {
        let mut command = lab.command(arguments.iter().copied());
        command.env("CONTAINERS_REGISTRIES_CONF", &conf);
        command.stdin(std::fs::File::open(&password).expect("the file was made"));
        let done = output(&mut command);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{arguments:?}: {}", both(&done));
        assert_eq!(told.matches("the key \"future-key\" is not known").count(), 1, "{arguments:?}: {told}");
        if arguments[0] == "login" {
            assert!(both(&done).contains("did not ask for the password"), "{}", both(&done));
        }
    }
});

as_everyone!(what_a_killed_pull_has_left, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    lab.verb(["pull", &base]);
    let (store, left) = (lab.store(), lab.store().join("tmp/00000000000000000000000000000000"));
    std::fs::create_dir(&left).expect("the store has a tmp directory");
    std::fs::write(left.join("blob-6"), "half").expect("it can be written to");
    let owner = std::fs::metadata(&store).expect("there is a store").uid();
    std::os::unix::fs::chown(&left, Some(owner), None).expect("tests run as root");
    lab.verb(["pull", &base]);
    assert!(!left.exists(), "nobody removes it");
});

as_everyone!(tls_on_this_machine, &["docker-registry", "openssl"], |lab| {
    let registry = Registry::with_tls(&lab.path("docker"));
    let certificate = lab.path("docker/registry.pem");
    let password = lab.file("password", "secret");
    let login = |flags: &[&Path]| {
        let mut command = lab.command(["login", "-u", "someone", "--password-stdin"]);
        command.args(flags).arg(registry.name());
        output(command.stdin(std::fs::File::open(&password).expect("the file was made")))
    };
    // Nobody vouches for it: there is no way around that but by name.
    let refused = login(&[]);
    let text = both(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("no trusted TLS connection") && text.contains("CA certificate"), "{text}");

    for flags in [
        [Path::new("--registry-ca"), &certificate],
        [Path::new("--insecure-registry"), Path::new(&registry.name())],
    ] {
        let taken = login(&flags);
        assert!(taken.status.success(), "{flags:?}: {}", both(&taken));
    }
    // What SSL_CERT_FILE names is what the system trusts, also where it is the registry's own certificate.
    let mut command = lab.command(["inspect", "--raw", &registry.reference("absent:1")]);
    let asked = both(&output(command.env("SSL_CERT_FILE", &certificate)));
    assert!(asked.contains("not found"), "{asked}");
    // An output that says so for itself.
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let insecure = "--output=type=image,push=true,registry.insecure=true";
    let careless = registry.reference("careless:1");
    lab.build([insecure, "-t", &careless, context.to_str().expect("the path is text")]);
    lab.try_build(["--push", "-t", &careless, context.to_str().expect("the path is text")])
        .assert_refused(1, &["no trusted TLS connection"]);

    let pem = std::fs::read(&certificate).expect("it was made");
    lab.file(&format!("home/.config/containers/certs.d/{}/ca.crt", registry.name()), pem);
    let taken = login(&[]);
    assert!(taken.status.success(), "{}", both(&taken));

    // And not for a login alone.
    let reference = registry.reference("app:1");
    lab.build(["--push", "-t", &reference, context.to_str().expect("the path is text")]);
    lab.verb(["pull", &reference]);
});

as_everyone!(proxies, &["docker-registry", "openssl"], |lab| {
    let registry = Registry::with_tls(&lab.path("docker"));
    let tunnel = Tunnel::start(registry.name());
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    // A name that only the proxy knows.
    let name = "registry.example/app:1";
    let build = |proxy: &str, name: &str| {
        let mut command = lab.command(["build", "--progress=plain", "--push", "-t", name]);
        command.arg("--insecure-registry=registry.example").arg(&context);
        both(&output(command.env("HTTPS_PROXY", proxy)))
    };
    let pushed = build(&tunnel.url("someone:opensesame"), name);
    assert!(pushed.contains("pushing registry.example/app:1"), "{pushed}");
    let log = tunnel.take_log();
    assert!(!log.is_empty(), "nobody went through the proxy");
    for request in log {
        assert!(request.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{request}");
        // "someone:opensesame"
        let credentials = "proxy-authorization: basic c29tzw9uztpvcgvuc2vzyw1l\r\n";
        assert!(request.to_lowercase().contains(credentials), "{request}");
    }
    // It is there; and no proxy is asked for what is on this machine.
    let here = registry.reference("app:1");
    let mut pull = lab.command(["pull", "-q", "--insecure-registry", &registry.name(), &here]);
    run(pull.env("HTTPS_PROXY", tunnel.url("x:y")).env("HTTP_PROXY", tunnel.url("x:y")));
    assert_eq!(tunnel.take_log(), [""; 0]);
    // A proxy that is not there is told, and its password is not.
    let refused = build(&format!("http://someone:opensesame@{}", free_address()), name);
    assert!(refused.contains("registry.example") && refused.contains("proxy"), "{refused}");
    assert!(!refused.contains("opensesame"), "{refused}");
    lab.assert_nothing_left();
});

// podman reads what we push, and we what it pushes.
as_everyone!(podman, &["docker-registry", "podman"], |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let (ours, theirs) = (registry.reference("ours:1"), registry.reference("theirs:1"));
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\nCMD [\"/Dockerfile\"]\n");
    lab.build(["--push", "-t", &ours, context.to_str().expect("the path is text")]);
    let podman = |arguments: &[&str]| {
        let mut command = tool("podman");
        command.arg("--root").arg(lab.path("podman/root")).arg("--runroot").arg(lab.path("podman/run"));
        run(command.args(["--storage-driver", "vfs"]).args(arguments))
    };
    podman(&["pull", "--quiet", "--tls-verify=false", &ours]);
    podman(&["tag", &ours, &theirs]);
    podman(&["push", "--quiet", "--tls-verify=false", &theirs]);
    lab.verb(["pull", "-q", &theirs]);
    let id = |name: &str| lab.verb(["inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id(&theirs), id(&ours), "the config is the same");
    lab.assert_nothing_left();
});

as_everyone!(flags_that_make_no_sense, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nLABEL a=b\n");
    for (flag, value, want) in [
        ("--registry-mirror", "not a host", "write [REGISTRY=]HOST[:PORT][/PATH]"),
        ("--insecure-registry", "a/b c", "a/b c"),
        ("--registry-ca", "/absent.pem", "it cannot be read"),
    ] {
        lab.try_build([Path::new(flag), Path::new(value), &context]).assert_refused(2, &["error:", want]);
    }
});
