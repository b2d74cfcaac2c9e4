//! How a page looks, to people and to axe-core.

use serde_json::json;

use crate::{axe, driver::Browser};

impl Browser {
    /// Photographs the page as it is, in the dark, and on a narrow screen.
    pub(crate) async fn photograph_everywhere(&self, name: &str) {
        self.photograph(name).await;
        let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        self.devtools("Emulation.setEmulatedMedia", dark).await;
        self.photograph(&format!("{name}-dark")).await;
        let light = json!({ "features": [] });
        self.devtools("Emulation.setEmulatedMedia", light).await;
        let narrow = json!({ "width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": true });
        self.devtools("Emulation.setDeviceMetricsOverride", narrow)
            .await;
        self.photograph(&format!("{name}-narrow")).await;
        self.until("document.documentElement.scrollWidth <= 400")
            .await;
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }

    /// Asserts that axe-core finds nothing, neither in the light nor in the dark.
    pub(crate) async fn look_over(&self, when: &str) {
        for scheme in axe::schemes() {
            self.devtools("Emulation.setEmulatedMedia", scheme.clone())
                .await;
            let found = axe::violations(&self.client).await;
            assert_eq!(found, [""; 0], "{when}, {scheme}");
        }
    }
}
