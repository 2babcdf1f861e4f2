use super::pick;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";
const TAG: &str = "3333333333333333333333333333333333333333";

#[test]
fn what_a_name_means() {
    let answer = format!(
        "ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n{ONE}\trefs/heads/main\n{TWO}\trefs/heads/v1\n{TAG}\trefs/tags/v1\n{ONE}\trefs/tags/v1^{{}}\n{TWO}\trefs/remotes/x/main\n"
    );
    for (name, id, reference) in [
        ("HEAD", ONE, Some("refs/heads/main")),
        ("main", ONE, Some("refs/heads/main")),
        // A branch goes before a tag of the same name, as in git checkout.
        ("v1", TWO, Some("refs/heads/v1")),
        ("refs/tags/v1", ONE, Some("refs/tags/v1")),
        ("heads/main", ONE, Some("refs/heads/main")),
    ] {
        let found = pick(&answer, name).unwrap();
        assert_eq!((found.commit.id.as_str(), found.commit.reference.as_deref()), (id, reference), "{name}");
    }
    // The tag object's id stands for the commit, too.
    assert_eq!(pick(&answer, "refs/tags/v1").unwrap().ids, [ONE, TAG]);
    assert!(pick(&answer, "x/main").is_none());
    assert!(pick("", "main").is_none());
}
