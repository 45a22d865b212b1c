//! The manifests: why each dependency is there.

use crate::{ADAPTERS, PACKAGES, assert_none, manifest};

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let mut faults = Vec::new();
    for package in PACKAGES.iter().chain(&ADAPTERS) {
        let mut in_dependencies = false;
        let mut explained = false;
        for line in manifest(package).lines() {
            let own = ["kernel", "sync", "io", "net", "os", "monitor"]
                .iter()
                .any(|own| line.starts_with(own));
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]") && !line.contains("workspace.");
            } else if in_dependencies && line.contains('=') && !explained && !own {
                faults.push(format!("{package}/Cargo.toml: {line}"));
            }
            explained = line.starts_with('#');
        }
    }
    assert_none(&faults, "a dependency without a reason");
}
