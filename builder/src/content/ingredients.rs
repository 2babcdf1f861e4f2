//! What a key is made of, kept so that it can be told why a later key is another one.

use super::{ContentId, Encoder};
use serde::{Deserialize, Serialize};

/// Names and values in order. The key is made of just these, so what is the same in two lists did not make two keys
/// different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ingredients(pub Vec<(String, Ingredient)>);

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ingredient {
    /// As people write it.
    Text(String),
    /// What is named by its content: files, the root file system below.
    Content(ContentId),
    /// A text that should not be kept: its id alone is.
    Hidden(ContentId),
}

impl Ingredients {
    /// Adds a text.
    pub fn text(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.push((name.into(), Ingredient::Text(value.into())));
        self
    }

    /// Adds a text that may be a secret.
    pub fn hidden(&mut self, name: impl Into<String>, value: &str) -> &mut Self {
        self.0.push((name.into(), Ingredient::Hidden(ContentId::of(value.as_bytes()))));
        self
    }

    /// Adds content.
    pub fn content(&mut self, name: impl Into<String>, id: ContentId) -> &mut Self {
        self.0.push((name.into(), Ingredient::Content(id)));
        self
    }

    /// Adds a list of texts as one value.
    pub fn list<I: AsRef<str>>(
        &mut self,
        name: impl Into<String>,
        items: impl IntoIterator<Item = I>,
    ) -> &mut Self {
        let items: Vec<String> = items.into_iter().map(|item| format!("{:?}", item.as_ref())).collect();
        self.text(name, items.join(" "))
    }

    /// The key: of all names and values in their order.
    pub fn key(&self, domain: &str) -> ContentId {
        let mut encoder = Encoder::new(domain);
        encoder.number(self.0.len() as u64);
        for (name, value) in &self.0 {
            encoder.text(name);
            match value {
                Ingredient::Text(text) => encoder.number(0).text(text),
                Ingredient::Content(id) => encoder.number(1).id(id),
                Ingredient::Hidden(id) => encoder.number(2).id(id),
            };
        }
        encoder.finish()
    }

    /// The content called `name`.
    pub fn content_of(&self, name: &str) -> Option<ContentId> {
        self.0.iter().find_map(|(known, value)| match value {
            Ingredient::Content(id) if known == name => Some(*id),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_names_values_and_order() {
        let of = |pairs: &[(&str, &str)]| {
            let mut list = Ingredients::default();
            for (name, value) in pairs {
                list.text(*name, *value);
            }
            list.key("test v1")
        };
        let one = of(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, of(&[("a", "1"), ("b", "2")]));
        for other in [
            &[("b", "2"), ("a", "1")] as &[_],
            &[("a", "1")],
            &[("a", "1b"), ("", "2")],
            &[("a", "12"), ("b", "")],
            &[("a", "1"), ("b", "2"), ("", "")],
        ] {
            assert_ne!(one, of(other), "{other:?}");
        }
        let id = ContentId::of(b"1");
        let mut kinds = [Ingredients::default(), Ingredients::default(), Ingredients::default()];
        kinds[0].text("a", "1");
        kinds[1].content("a", id);
        kinds[2].hidden("a", "1");
        let keys = kinds.each_ref().map(|list| list.key("test v1"));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!((kinds[1].content_of("a"), kinds[2].content_of("a")), (Some(id), None));
        assert!(!format!("{:?}", serde_json::json!(kinds[2])).contains("\"1\""));
    }
}
