//! The functions that components have, read once: their manifests, and the schemas of their inputs.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;

use super::error::{Error, Result};
use crate::db::agents::Version;
use crate::guest::Manifest;
use crate::schema::Schema;

/// How many components' functions are remembered. Each may have schemas of a few hundred kilobytes.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(128).expect("128 is not 0");

/// By tenant and digest, so that nobody learns from the time of an answer what others have. Cheap to clone.
#[derive(Clone)]
pub(super) struct Functions(Arc<Mutex<Known>>);

type Known = LruCache<(String, Vec<u8>), Arc<[Function]>>;

/// One function of a component.
pub(super) struct Function {
    pub(super) name: String,
    input_schema: Option<serde_json::Value>,
    read: OnceLock<Result<Arc<Schema>, String>>,
}

impl Functions {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(REMEMBERED))))
    }

    /// Those of this version.
    pub(super) fn of(&self, tenant: &str, version: &Version) -> Result<Arc<[Function]>> {
        let key = (tenant.to_owned(), version.digest.clone());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(functions) = known.get(&key) {
            return Ok(functions.clone());
        }
        let manifest: Manifest = serde_json::from_str(&version.manifest).map_err(|_| Error::Internal)?;
        let function = |function: crate::guest::Function| Function {
            name: function.name,
            input_schema: function.input_schema,
            read: OnceLock::new(),
        };
        let functions: Arc<[Function]> = manifest.functions.into_iter().map(function).collect();
        known.put(key, functions.clone());
        Ok(functions)
    }
}

impl Function {
    pub(super) fn has_schema(&self) -> bool {
        self.input_schema.is_some()
    }

    /// Whether it takes this input. Reading a schema, and checking an input, may take a second.
    pub(super) fn check(&self, input: &str) -> Result<(), String> {
        let Some(schema) = &self.input_schema else { return Ok(()) };
        let read = self.read.get_or_init(|| Schema::new(schema.clone()).map(Arc::new));
        read.clone()?.check(input)
    }
}
