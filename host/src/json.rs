//! What counts as a JSON document, wherever one comes from a guest or a client. Pure: no I/O, no clock.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// Checks that every reader can read the document: it is nested at most 127 levels deep (serde_json's bound), and no
/// string has half of a surrogate pair (RFC 8259, 8.2, leaves those to the reader's mercy).
pub fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<Readable>(text).map(|Readable| ())
}

/// The value of a number that is whole, as JSON Schema has it: 7.0 is.
pub fn whole(number: &Number) -> Option<i64> {
    /// The largest of which every whole number is one of a float's.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let written = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT_MAX);
    number.as_i64().or(written.map(|float| float as i64))
}

/// Any document, read whole and not kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Readable, A::Error> {
        while fields.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_document_is_what_every_reader_can_read() {
        for good in
            ["null", r#"{"a":[1,-2,3.5e300,true,"ü\ud83e\udd80\u0000"],"":{}}"#, "18446744073709551615", "1e-400"]
        {
            assert!(check(good).is_ok(), "{good}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(check(&deep(127)).is_ok());
        for bad in ["", "nul", "[1,]", "1 2", r#""\ud800""#, r#"{"\udc00":1}"#, r#"["\ud800x"]"#, "NaN", &deep(128)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
