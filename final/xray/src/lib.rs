//! Looks at a process from outside and draws what makes it a container.
