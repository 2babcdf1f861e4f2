//! `du` and `prune`: what takes space, and what goes.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::Registry;
use crate::support::tools::output;
use std::fs;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

as_everyone!(images_stay_and_the_rest_goes, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let image = lab.dockerfile("image", &format!("FROM {base}\nRUN head -c 50000 /dev/zero > /kept\n"));
    lab.build(["-t".as_ref(), "app:1".as_ref(), image.as_os_str()]);
    let other = lab.dockerfile(
        "other",
        &format!(
            "FROM {base}\nRUN --mount=type=cache,target=/c,uid=7,mode=700 head -c 70000 /dev/zero > /c/file && \
             chown 7:7 /c/file\nRUN head -c 90000 /dev/zero > /only-cached && chown 5:5 /only-cached\n"
        ),
    );
    lab.build(["--output=type=cacheonly".as_ref(), other.as_os_str()]);

    let rows = || -> Vec<serde_json::Value> {
        let text = lab.verb(["du", "--format", "json"]);
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    };
    let of = |kept: &str, kind: &str, bytes: u64| {
        rows().iter().any(|r| r["Kept"] == kept && r["Type"] == kind && r["Bytes"] == bytes)
    };
    assert!(of("next builds", "step", 90000), "{:#?}", rows());
    assert!(of("next builds", "cache-mount", 70000), "{:#?}", rows());
    let kept = |row: &serde_json::Value| row["Type"] == "step" && row["Kept"] == "app:1";
    assert!(rows().iter().any(|r| kept(r) && r["Bytes"].as_u64() >= Some(50000)), "{:#?}", rows());
    let table = lab.verb(["du"]);
    assert!(table.starts_with("ID ") && table.contains("\nReclaimable: "), "{table}");

    let refused = output(&mut lab.command(["prune"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write -f"));
    assert_eq!(lab.verb(["prune", "-f", "--filter", "until=24h"]), "Reclaimed: 0 B\n");

    let told = lab.verb(["prune", "-f", "--filter", "type=cache-mount"]);
    assert!(told.contains(" cache-mount ") && told.ends_with("Reclaimed: 70.0 kB\n"), "{told}");
    assert_eq!(fs::read_dir(lab.store().join("mounts")).expect("the store is there").count(), 0);

    let told = lab.verb(["prune", "-f"]);
    assert!(told.contains("chown 5:5") || told.contains("head -c 90000"), "{told}");
    assert!(rows().iter().all(|row| row["Reclaimable"] == false), "{:#?}", rows());
    assert_eq!(fs::read_dir(lab.store().join("tmp")).expect("the store is there").count(), 0);
    lab.build([&image]).assert_all_cached();
    assert_eq!(lab.build(["--explain".as_ref(), other.as_os_str()]).executed().len(), 2);
});

as_everyone!(images_without_a_name_go_with_all, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN head -c 50000 /dev/zero > /file\n"));
    lab.build([&context]);
    assert_eq!(lab.verb(["prune", "-f"]), "Reclaimed: 0 B\n");
    let told = lab.verb(["prune", "-f", "--all"]);
    assert!(told.contains(" image ") && told.contains(" step "), "{told}");
    assert_eq!(lab.build([&context]).executed(), ["RUN head -c 50000 /dev/zero > /file"]);
});
