//! The feature `serde`: a file as JSON.

use dockerfile_parser::parse;
use serde_json::{Value, json};

#[test]
fn a_file_is_a_tree_of_maps() {
    let source = b"# escape=`\nARG V=1\n# about it\nFROM a AS b\nRUN --mount=type=cache,target=/c --network=none <<E\nx\nE\nCMD [\"y\"]\n";
    let parsed = parse(source).expect("a file");
    let tree = serde_json::to_value(&parsed.dockerfile).expect("it can be serialized");
    assert_eq!(tree["directives"], json!({ "syntax": null, "escape": "`", "check": null }));
    assert_eq!(
        tree["global_args"][0]["kind"]["arg"][0]["name"],
        json!({ "text": "V", "span": { "start": 15, "end": 16 } })
    );
    let stage = &tree["stages"][0];
    assert_eq!(stage["comments"], json!(["about it"]));
    assert_eq!(stage["from"]["image"]["text"], "a");
    let run = &stage["instructions"][0]["kind"]["run"];
    assert_eq!(run["network"], "none");
    assert_eq!(run["command"]["shell"]["text"], "<<E");
    assert_eq!(run["heredocs"][0]["body"], "x\n");
    assert_eq!(stage["instructions"][1]["kind"]["cmd"]["exec"][0]["text"], "y");
}

/// What `diagnostic::json` writes by hand is JSON, and says the same.
#[test]
fn diagnostics() {
    let source = "FROM a\nRUN --netwrok=\"é\u{1b}\" x\nRNU \\\n x\n".as_bytes();
    for finding in parse(source).expect_err("mistakes") {
        let text = dockerfile_parser::diagnostic::json("Docker\"file", source, &finding);
        let object: Value = serde_json::from_str(&text).expect("it is JSON");
        let tree = serde_json::to_value(&finding).expect("it can be serialized");
        assert_eq!(object["file"], "Docker\"file");
        for member in ["severity", "code", "message", "help"] {
            assert_eq!(object[member], tree[member], "{member}");
        }
        assert_eq!(object["start"]["offset"], tree["span"]["start"]);
    }
}
