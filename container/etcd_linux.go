// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Etcd is where hosts that share storage agree on category pairs, see mcs.Cluster.
type Etcd struct {
	// Endpoints are members of one etcd, each as "https://HOST:PORT" or "http://HOST:PORT".
	Endpoints []string `json:"endpoints"`
	// Authority is a file with the certificates of who may sign those of members, in PEM; empty: the system's.
	Authority string `json:"authority,omitempty"`
	// Certificate and Key are files with what members are shown, in PEM; empty: nothing.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// Prefix of every key, with a slash at both ends; empty: /bulkhead/mcs/.
	Prefix string `json:"prefix,omitempty"`
	// Node is this host's name among those of the prefix; empty: the host's name.
	Node string `json:"node,omitempty"`
	// Lease is for how many seconds the node's name is kept for it without a word from it; 0: 60.
	Lease int `json:"lease,omitempty"`
}

const (
	etcdPrefix   = "/bulkhead/mcs/"
	defaultLease = 60    // seconds
	longestLease = 86400 // seconds
)

// check refuses settings that could not work; what it does not refuse may still lead to nothing.
func (e Etcd) check() error {
	if len(e.Endpoints) == 0 {
		return errors.New(`etcd.endpoints: none; such as ["https://10.0.0.1:2379"]`)
	}
	secure := false
	for i, endpoint := range e.Endpoints {
		https, err := checkEndpoint(endpoint)
		if err != nil {
			return fmt.Errorf("etcd.endpoints[%d]: %.200q: %w", i, endpoint, err)
		}
		secure = secure || https
	}
	for _, file := range [][2]string{{"authority", e.Authority}, {"certificate", e.Certificate}, {"key", e.Key}} {
		if file[1] != "" && !filepath.IsAbs(file[1]) {
			return fmt.Errorf("etcd.%s: %q is not an absolute path", file[0], file[1])
		}
		if file[1] != "" && !secure {
			return fmt.Errorf("etcd.%s: no endpoint is https", file[0])
		}
	}
	if (e.Certificate == "") != (e.Key == "") {
		return errors.New("etcd.certificate and etcd.key go together")
	}
	if p := e.Prefix; p != "" && (len(p) < 3 || p[0] != '/' || p[len(p)-1] != '/' || len(p) > 256 || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f })) {
		return fmt.Errorf("etcd.prefix: %.300q is not like %q, a slash at both ends and neither blanks nor control characters", p, etcdPrefix)
	}
	if e.Node != "" {
		if err := mcs.CheckNode(e.Node); err != nil {
			return fmt.Errorf("etcd.node: %w", err)
		}
	}
	if e.Lease < 0 || e.Lease > 0 && e.Lease < 2 || e.Lease > longestLease {
		return fmt.Errorf("etcd.lease: %d is not within 2 to %d seconds", e.Lease, longestLease)
	}
	return nil
}

// checkEndpoint refuses what is no scheme, host and port, and reports whether it is encrypted. (net/url would cost a runtime that has no etcd more than this does.)
func checkEndpoint(endpoint string) (secure bool, err error) {
	rest, secure := strings.CutPrefix(endpoint, "https://")
	if !secure {
		var plain bool
		if rest, plain = strings.CutPrefix(endpoint, "http://"); !plain {
			return false, errors.New(`neither "https://" nor "http://"`)
		}
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return false, errors.New("no port, such as :2379")
	}
	host, port := rest[:colon], rest[colon+1:]
	if address, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil || address.Port() == 0 {
		return false, fmt.Errorf("port %.20q is none", port)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if address, err := netip.ParseAddr(inner); !closed || err != nil || !address.Is6() {
			return false, fmt.Errorf("%.60q is no IPv6 address", host)
		}
		return secure, nil
	}
	if err := mcs.CheckNode(host); err != nil { // the characters of host names and IPv4 addresses
		return false, fmt.Errorf("host %.60q is none", host)
	}
	return secure, nil
}

// cluster is the registry's cluster, without a connection: package container is part of programs that have no client of etcd. Who has one sets Call, and
// who forgets to gets no pair.
func (e Etcd) cluster() (*mcs.Cluster, error) {
	made := &mcs.Cluster{Node: e.Node, Prefix: e.Prefix, Lease: time.Duration(e.Lease) * time.Second}
	if made.Prefix == "" {
		made.Prefix = etcdPrefix
	}
	if made.Lease == 0 {
		made.Lease = defaultLease * time.Second
	}
	if made.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		if err := mcs.CheckNode(name); err != nil {
			return nil, fmt.Errorf("%s: the host's name serves for etcd.node: %w", ConfigFile, err)
		}
		made.Node = name
	}
	made.Call = func(context.Context, string, any, any) error { return errors.New("this program has no client of etcd") }
	return made, nil
}
