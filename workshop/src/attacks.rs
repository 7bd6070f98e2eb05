//! Attacks on a container: each is what somebody in it tries, and how the host tells that it worked.

use anyhow::{Context, Result, bail};

use crate::session::{Ended, Session};

/// An attack: what the host prepares, what the attacker runs in the container, and how the host
/// tells that it worked.
#[derive(Debug)]
pub struct Attack {
    /// What it does, in a few words.
    pub name: &'static str,
    /// Run by the host first, in the lab's folder.
    prepare: &'static str,
    /// Run by `sh -c` in the container. Its output is in the file `loot`.
    attack: &'static str,
    /// Run by the host at the end: the attack succeeded if this does.
    succeeded: &'static str,
}

/// In containers without a /proc the attacker mounts one: root inside may.
pub const ATTACKS: [Attack; 15] = [
    Attack {
        name: "read a host file by its path",
        prepare: "echo treasure > /lab/secret",
        attack: "cat /lab/secret",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "read the environment of who started it",
        prepare: "export SECRET=treasure",
        attack: "env",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "use a descriptor left open",
        prepare: "echo treasure > /lab/secret; exec 9< /lab/secret",
        attack: "cat <&9",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "rename the host",
        prepare: ":",
        attack: "hostname evil",
        succeeded: "[ $(hostname) = evil ]",
    },
    Attack {
        name: "see the host's shared memory",
        prepare: "ipcmk --shmem 31337 > /dev/null",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc; cat /proc/sysvipc/shm",
        succeeded: "grep -q 31337 loot",
    },
    Attack {
        name: "kill a host process",
        prepare: "sleep 1000 & victim=$!; echo $victim > rootfs/victim",
        attack: "kill -9 $(cat /victim || cat /lab/rootfs/victim)",
        succeeded: "for i in $(seq 100); do
                        [ \"$(cut -d ' ' -f 3 /proc/$victim/stat)\" = S ] || break
                    done
                    [ $i != 100 ]",
    },
    Attack {
        name: "climb out of the root directory",
        prepare: "echo treasure > /lab/secret",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 nsenter --mount=/proc/self/ns/mnt cat /lab/secret",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "mount something on the host",
        prepare: ":",
        attack: "mkdir /tmp/leak; mount -t tmpfs leak /tmp/leak; cat; true",
        succeeded: "grep -q '^leak ' /proc/mounts",
    },
    Attack {
        name: "write a kernel setting",
        prepare: ":",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 echo 1 > /proc/sys/net/ipv4/ip_forward && echo written",
        succeeded: "grep -q written loot",
    },
    Attack {
        name: "fork without end",
        prepare: ":",
        attack: "for i in $(seq 100); do sleep 3 & done && echo all started",
        succeeded: "grep -q 'all started' loot",
    },
    Attack {
        name: "eat all memory",
        prepare: ":",
        attack: r#"awk 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s; print "eaten" }'"#,
        succeeded: "grep -q eaten loot",
    },
    Attack {
        name: "leave a file for the next container",
        prepare: ":",
        attack: "echo treasure > /tmp/evil",
        succeeded: "$target sh -c 'cat /tmp/evil' 2>&1 | grep -q treasure",
    },
    Attack {
        name: "reach a service on the host's loopback",
        prepare: "echo treasure > index.html; rootfs/bin/busybox httpd -p 127.0.0.1:8080 -h /lab",
        attack: "wget -q -O - http://127.0.0.1:8080/index.html",
        succeeded: "grep -q treasure loot",
    },
    Attack {
        name: "make what is read-only writable again",
        prepare: ":",
        attack: "[ -e /proc/self ] || mount -t proc proc /proc
                 mount -o remount,bind,rw /proc/sys/net || mount -o remount,bind,rw /proc/sys
                 echo 1 > /proc/sys/net/ipv4/ip_forward && echo written",
        succeeded: "grep -q written loot",
    },
    Attack {
        name: "make a user namespace",
        prepare: ":",
        attack: "unshare --user true && echo reached",
        succeeded: "grep -q reached loot",
    },
];

impl Attack {
    /// The attack of this name.
    pub fn find(name: &str) -> Option<&'static Attack> {
        ATTACKS.iter().find(|attack| attack.name == name)
    }

    /// Whether it succeeds in a container that is started by `words`, in a lab like this.
    ///
    /// # Errors
    /// When the lab can't be opened, or ends before the attack does.
    pub fn succeeds(&self, session: &Session, words: &str) -> Result<bool> {
        let Attack { prepare, attack, succeeded, .. } = self;
        let quoted = attack.replace('\'', "'\\''");
        let ended = session.run(&format!(
            "target='{words}'
             case $target in
               step08*) step08-image-layers import rootfs box > /dev/null ;;
               keel*) keel import rootfs box > /dev/null ;;
             esac
             {{ {prepare}
             }} > /dev/null 2>&1
             $target sh -c '{quoted}' > loot 2>&1 < /dev/null
             if {{ {succeeded}; }}; then echo SUCCEEDS; else echo STOPPED; fi 2> /dev/null"
        ))?;
        let Ended::Itself(output) = ended else { bail!("the attack does not end") };
        match output.lines().last().context("the lab said nothing")? {
            "SUCCEEDS" => Ok(true),
            "STOPPED" => Ok(false),
            _ => bail!("unexpected output:\n{output}"),
        }
    }
}
