use super::*;
use serde_json::json;

fn value() -> Value {
    json!({
        "ID": "abc", "Size": 12, "Tags": ["a:1", "b:2"], "None": [], "Nothing": null,
        "Config": {"Env": ["A=1"], "Labels": {"x.y": "z", "a": "b"}},
    })
}

fn rendered(template: &str) -> String {
    let template: Template = template.parse().unwrap_or_else(|error| panic!("{template}: {error}"));
    template.render(&value()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_go_prints() {
    for (template, want) in [
        ("plain", "plain"),
        ("{{.ID}}: {{ .Size }}", "abc: 12"),
        ("{{.id}}", "abc"),
        (r"{{.ID}}\t{{.Size}}\n", "abc\t12\n"),
        ("{{.Tags}}", "[a:1 b:2]"),
        ("{{.Config.Labels}}", "map[a:b x.y:z]"),
        ("{{.Config.Missing.Deeper}}", "<no value>"),
        ("{{json .Tags}}", r#"["a:1","b:2"]"#),
        ("{{.Tags | json}}", r#"["a:1","b:2"]"#),
        (r#"{{index .Config.Labels "x.y"}}"#, "z"),
        ("{{index .Tags 1}}", "b:2"),
        (r#"{{join .Tags ", "}}"#, "a:1, b:2"),
        (r#"{{upper (index .Tags 0)}}"#, "A:1"),
        ("{{len .Tags}}{{len .Nothing}}", "20"),
        ("{{range .Tags}}<{{.}}>{{end}}", "<a:1><b:2>"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range .Config.Labels}}{{println .}}{{end}}", "b\nz\n"),
        ("{{if .None}}yes{{else}}no{{end}}{{if .Size}}!{{end}}", "no!"),
        ("a {{- .ID -}} b", "aabcb"),
        ("{{json .}}", &value().to_string()),
    ] {
        assert_eq!(rendered(template), want, "{template}");
    }
}

#[test]
fn what_is_not_understood() {
    for (template, want) in [
        ("{{.ID", "{{ is not closed by }}"),
        ("{{}}", "there is nothing between {{ and }}, or beside |"),
        ("{{.ID |}}", "there is nothing between {{ and }}, or beside |"),
        ("{{ID}}", r#""ID" is no function: there are json, index, len, join, lower, upper and println"#),
        ("{{json ID}}", r#""ID" is no operand: write .ID for a field"#),
        ("{{.ID .Size}}", "several values stand side by side: write each between {{ and }}"),
        ("{{.A..B}}", ".A..B is no field"),
        ("{{range .Tags}}", "{{range}} has no {{end}}"),
        ("{{end}}", "{{end}} has no {{range}} or {{if}} before it"),
        ("{{$x}}", "$x: there are no variables"),
        ("{{(.ID}}", "a ( is not closed"),
        ("{{.ID)}}", "a ) has no ( before it"),
        (r#"{{"x}}"#, r#""x: a text is not closed"#),
    ] {
        assert_eq!(template.parse::<Template>().unwrap_err().to_string(), want, "{template}");
    }
    for (template, want) in [
        ("{{.Sizes}}", "--format: there is no field .Sizes; there are ID, Size, Tags, None, Nothing, Config"),
        ("{{index .Tags 7}}", "--format: index 7 is past the end of 2 items"),
        ("{{upper .Size}}", "--format: upper cannot be made of (12)"),
        ("{{range .Size}}{{end}}", "--format: range cannot go over 12"),
    ] {
        let template: Template = template.parse().unwrap();
        assert_eq!(template.render(&value()).unwrap_err().to_string(), want);
    }
}
