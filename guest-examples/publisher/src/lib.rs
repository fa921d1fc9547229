//! Publishes posts: the agent that others call when their reviewers have agreed.

use countersign_sdk::agent;

#[agent(name = "publisher", version = "1.0.0")]
mod publisher {
    use countersign_sdk::{Error, data};

    /// A post that is out.
    #[data]
    struct Post {
        published: bool,
        content: String,
        /// Where it can be read; the same for the same content.
        url: String,
    }

    /// Publishes a post.
    #[function]
    async fn publish(content: String) -> Result<Post, Error> {
        let url = format!("https://example.com/posts/{}", slug(&content));
        Ok(Post { published: true, content, url })
    }

    /// Fails, as publishing does when the site is down.
    #[function]
    async fn fail() -> Result<Post, Error> {
        Err(Error::new("publish_failed", "the site is down"))
    }

    /// The content's first six words, in lower case, with everything but letters and digits left out.
    fn slug(content: &str) -> String {
        let lower = content.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let slug = words.take(6).collect::<Vec<_>>().join("-");
        if slug.is_empty() { "untitled".to_owned() } else { slug }
    }

    #[cfg(test)]
    mod tests {
        use super::slug;

        #[test]
        fn a_slug_is_the_first_words() {
            assert_eq!(slug("Hello, World! It's a new day, today."), "hello-world-it-s-a-new");
            assert_eq!(slug("¡…!"), "untitled");
        }
    }
}
