// SPDX-License-Identifier: Apache-2.0
//! OVSDB (RFC 7047) client: pure protocol core and a thin tokio shell.
