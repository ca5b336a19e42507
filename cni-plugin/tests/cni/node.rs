// SPDX-License-Identifier: Apache-2.0
//! A node with Open vSwitch and a prepared `br-int`, and a container runtime that calls the plugin.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use integration::{Netns, Testbed, command, registry};
use serde_json::{Value, json};

/// How long one call may take; ADD may wait 30 s for the Pod to become ready.
const CALL_LIMIT: Duration = Duration::from_secs(45);

/// One node. Everything ends with it, also when a test fails.
#[derive(Debug)]
pub(crate) struct Node {
    bed: Testbed,
}

/// One container, before or after it is attached.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) pod: String,
    pub(crate) netns: Netns,
}

/// What the plugin answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) reply: Value,
}

impl Node {
    /// A node whose `br-int` the agent and the controller have prepared.
    pub(crate) fn prepared(test: &str) -> Self {
        let node = Self::bare(test);
        node.vsctl(
            "add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure \
             external_ids:culvert-mtu=1434 external_ids:culvert-pod-cidrs=10.10.1.0/24",
        );
        node
    }

    /// A node without `br-int`. `test` has at most 5 letters.
    pub(crate) fn bare(test: &str) -> Self {
        let name = format!("node{}{test}", std::process::id());
        Self {
            bed: Testbed::new(&name, 1).unwrap(),
        }
    }

    pub(crate) fn vsctl(&self, words: &str) -> String {
        self.bed
            .node(1)
            .unwrap()
            .ovs()
            .vsctl(words)
            .unwrap()
            .trim()
            .to_owned()
    }

    pub(crate) fn netns(&self) -> &Netns {
        self.bed.node(1).unwrap().netns()
    }

    pub(crate) fn ovsdb(&self) -> String {
        self.bed.node(1).unwrap().db()
    }

    pub(crate) fn bed(&self) -> &Testbed {
        &self.bed
    }

    /// A new container of a Pod of the same name.
    pub(crate) fn container(&self, name: &str) -> Container {
        let netns = Netns::create(&registry::netns_name(self.bed.name(), name)).unwrap();
        Container {
            id: format!("id-{name}"),
            pod: name.to_owned(),
            netns,
        }
    }

    pub(crate) fn conf(&self) -> Value {
        json!({
            "cniVersion": "1.1.0",
            "name": "culvert",
            "type": "culvert-cni",
            "ovsdb": self.ovsdb(),
            "readyTimeoutSeconds": 20,
        })
    }

    /// The configuration with one member more or other.
    pub(crate) fn conf_with(&self, key: &str, value: Value) -> Value {
        let mut conf = self.conf();
        conf.as_object_mut().unwrap().insert(key.to_owned(), value);
        conf
    }

    pub(crate) fn call(&self, verb: &str, container: &Container, conf: &Value) -> Answer {
        let mut plugin = command::bounded(env!("CARGO_BIN_EXE_culvert-cni"), CALL_LIMIT);
        set_environment(&mut plugin, verb, container);
        self.answer(plugin, conf).unwrap()
    }

    /// A command without a container: STATUS or GC.
    pub(crate) fn call_network(&self, verb: &str, conf: &Value) -> Answer {
        let mut plugin = command::bounded(env!("CARGO_BIN_EXE_culvert-cni"), CALL_LIMIT);
        plugin
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", "/opt/cni/bin");
        self.answer(plugin, conf).unwrap()
    }

    pub(crate) fn add(&self, container: &Container) -> Answer {
        self.call("ADD", container, &self.conf())
    }

    pub(crate) fn del(&self, container: &Container) -> Answer {
        self.call("DEL", container, &self.conf())
    }

    pub(crate) fn check(&self, container: &Container, result: &Value) -> Answer {
        self.call(
            "CHECK",
            container,
            &self.conf_with("prevResult", result.clone()),
        )
    }

    /// The links on the node that the plugin makes.
    pub(crate) fn host_links(&self) -> Vec<String> {
        let links = self.netns().ip("-o link show type veth").unwrap();
        let names = links
            .lines()
            .filter_map(|line| line.split([' ', '@']).nth(1));
        names
            .filter(|name| name.starts_with("cv"))
            .map(str::to_owned)
            .collect()
    }

    /// The Ports the plugin makes.
    pub(crate) fn ports(&self) -> Vec<String> {
        let ports = self.vsctl("--bare --columns=name list Port");
        ports
            .split_whitespace()
            .filter(|name| name.starts_with("cv"))
            .map(str::to_owned)
            .collect()
    }

    /// One key of the `external_ids` of an Interface.
    pub(crate) fn external_id(&self, interface: &str, key: &str) -> String {
        let text = self.vsctl(&format!(
            "--if-exists get Interface {interface} external_ids:{key}"
        ));
        text.trim_matches('"').to_owned()
    }

    /// Asserts that the plugin has left nothing on the node.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!((self.ports(), self.host_links()), (Vec::new(), Vec::new()));
    }

    fn answer(&self, plugin: Command, conf: &Value) -> Result<Answer> {
        let conf = serde_json::to_vec(conf)?;
        let output = self.netns().enter(|| command::feed(plugin, &conf))??;
        let reply = if output.stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&output.stdout)?
        };
        Ok(Answer {
            success: output.status.success(),
            reply,
        })
    }
}

impl Container {
    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.netns.ip(&format!("link show {name}")).is_ok()
    }
}

impl Answer {
    /// The result of a call that succeeded.
    #[track_caller]
    pub(crate) fn result(self) -> Value {
        assert!(self.success, "{}", self.reply);
        self.reply
    }

    /// The message of a call that failed with this code.
    #[track_caller]
    pub(crate) fn failure(&self, code: u32) -> String {
        assert!(!self.success, "{}", self.reply);
        assert_eq!(self.reply["code"], json!(code), "{}", self.reply);
        let words = [&self.reply["msg"], &self.reply["details"]];
        words
            .map(|word| word.as_str().unwrap_or_default())
            .join("; ")
    }
}

/// The environment a Kubernetes runtime gives.
pub(crate) fn set_environment(plugin: &mut Command, verb: &str, container: &Container) {
    plugin
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &container.id)
        .env("CNI_NETNS", container.netns.path())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/opt/cni/bin")
        .env(
            "CNI_ARGS",
            format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={};K8S_POD_UID=uid-{0};\
                 K8S_POD_INFRA_CONTAINER_ID={}",
                container.pod, container.id
            ),
        );
}
