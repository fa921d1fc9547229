//! How many instances a component will be made of, without making them.
//!
//! A few hundred bytes can ask for billions: ten instances of what is made of ten instances of something else, and so on.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Payload,
};

use super::Invalid;
use super::counts::{Excess, INSTANCES_MAX};

/// Counts over the payloads of a component, in their order.
#[derive(Default)]
pub(super) struct Instances {
    /// One for each component or module that is being read, the outermost first.
    open: Vec<Counted>,
}

/// How many instances a component is made of, and those that it can name, in the order of their index.
#[derive(Default)]
struct Counted {
    is_component: bool,
    count: u64,
    components: Vec<u64>,
}

impl Instances {
    pub(super) fn count(&mut self, payload: &Payload<'_>) -> Result<(), Invalid> {
        let malformed = |why| Invalid::malformed(&why);
        match payload {
            Payload::Version { encoding, .. } => {
                self.open.push(Counted { is_component: *encoding == Encoding::Component, ..Counted::default() });
            }
            Payload::End(_) => {
                if let Some(done) = self.open.pop().filter(|done| done.is_component)
                    && let Some(outer) = self.open.last_mut()
                {
                    outer.components.push(done.count + 1);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if matches!(instance.map_err(malformed)?, Instance::Instantiate { .. }) {
                        self.add(1)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(malformed)? {
                        self.add(self.of(0, component_index))?;
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(malformed)?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    if matches!(import.map_err(malformed)?.ty, ComponentTypeRef::Component(_)) {
                        return Err(Invalid::ForbiddenFeature("an imported component".into()));
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(malformed)?;
                    if export.kind == ComponentExternalKind::Component {
                        self.name(self.of(0, export.index));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Invalid> {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.name(self.of(*count, *index));
                Ok(())
            }
            // What it is made of would have to be followed through the instance.
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                Err(Invalid::ForbiddenFeature("a component that an instance exports".into()))
            }
            _ => Ok(()),
        }
    }

    /// How many instances component `index` is made of, as counted `outwards` levels up.
    fn of(&self, outwards: u32, index: u32) -> u64 {
        let level = self.open.iter().rev().nth(outwards as usize);
        level.and_then(|level| level.components.get(index as usize)).copied().unwrap_or(u64::MAX)
    }

    fn name(&mut self, count: u64) {
        if let Some(inner) = self.open.last_mut() {
            inner.components.push(count);
        }
    }

    fn add(&mut self, count: u64) -> Result<(), Invalid> {
        let Some(inner) = self.open.last_mut() else { return Ok(()) };
        inner.count = inner.count.saturating_add(count);
        if inner.count > INSTANCES_MAX { Err(Invalid::TooMuch(Excess::Instances)) } else { Ok(()) }
    }
}
