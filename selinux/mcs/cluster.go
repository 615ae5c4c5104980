// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cluster is the etcd in which hosts, its nodes, agree on pairs, so that containers of different nodes never share one by accident. A registry with a
// cluster keeps its directory as well: that stays the truth of what this host holds, and etcd is the truth of which node may hold a pair.
//
// There is one key per pair, PREFIX pairs/c12,c907, whose value names each node that holds the pair (several where they share it on request), and one
// per node, PREFIX nodes/NAME, which carries the node's lease. The rules:
//
//   - A pair's key has no lease. It stays when its node is cut off, since the node's containers go on: a lease that ends frees nothing. The pairs of a
//     node that never returns are freed by whoever knows that nothing of it runs any more, with ReleaseNode.
//   - A claim is one transaction: that the pair's key is as it was read (or is not there), and that the node's key has the revision at which this
//     host wrote it, its registration. So a node that was cut off longer than its lease, or was released as dead, is refused until it has
//     registered again.
//   - Registering holds the pairs of the directory against etcd: those that are not claimed are claimed, and where another node has one meanwhile,
//     that is a *ConflictError and nothing is given out until the container that holds it here has ended.
//   - A claim whose answer did not come may yet be carried out. It makes the registration void, so that the next one outruns it.
//   - Local first: the pair's file is there before the claim, and marked as pending until that is through. When the last holder goes, the file stays,
//     marked as leaving, until the key is gone. A process killed at any point leaves a file that the sweep takes down, and with it the key.
//   - A key is removed only where it is unchanged since before the look at the file, and each claim writes it, also one of a pair that the node has.
//     So whoever takes a pair that is just leaving outruns its removal.
//
// No daemon keeps the lease: allocations renew it, and what runs out meanwhile costs the next one a registration, about four round trips. It tells
// that the node's name is in use, and to operators when the node last was heard of. Where etcd does not answer, nothing is taken, what is released here
// is released there by a later sweep, and whatever runs is left alone.
//
// A registry directory has an identity, which pairs' keys name beside the node: another host that takes the node's name has none of its pairs. A copy of the
// directory on another host is told by /etc/machine-id.
type Cluster struct {
	Node   string        // this host's name among the nodes
	Prefix string        // of every key, with a slash at its end
	Lease  time.Duration // of the node's key, whole seconds

	// Call is one request to etcd's JSON gateway: method is the path after /v3/, such as "kv/txn". It gives up when the context does.
	Call func(ctx context.Context, method string, request, response any) error
}

// Bounds of what a process waits for etcd. Ending a container waits less: what it leaves is freed later.
const (
	allocationLimit = 3 * time.Second
	releaseLimit    = 1500 * time.Millisecond
	scanLimit       = time.Minute // of what operators ask for: every key is read
)

// Owner is a node's hold of a pair in the cluster.
type Owner struct {
	Node   string `json:"node"`
	ID     string `json:"id"`               // of the node's registry directory
	Holder string `json:"holder,omitempty"` // the container that it was claimed for, for people to read
}

// Owned is a pair that nodes have.
type Owned struct {
	Pair     Pair
	Owners   []Owner
	revision int64 // of the key's last change
}

// ClusterError says that the cluster could not be asked or did not agree, so that no pair is given out.
type ClusterError struct {
	Node string
	Err  error
}

func (e *ClusterError) Error() string {
	return fmt.Sprintf("category pairs of node %q in etcd: %v", e.Node, e.Err)
}
func (e *ClusterError) Unwrap() error { return e.Err }

// ConflictError says that a pair which a container holds here is another node's: this node was released as dead while the container ran, or had the
// pair before it joined the cluster.
type ConflictError struct {
	Pair   Pair
	Holder string // the container here
	Owner  Owner
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("pair %s of %q here is held by node %q (%q), too", e.Pair, e.Holder, e.Owner.Node, e.Owner.Holder)
}

func (c *Cluster) failure(err error) error {
	var known *ClusterError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &ClusterError{c.Node, err}
}

func (c *Cluster) nodeKey(name string) string { return c.Prefix + "nodes/" + name }
func (c *Cluster) pairKey(pair Pair) string   { return c.Prefix + "pairs/" + pair.String() }

// CheckNode refuses names of nodes that would not be one part of a key, or would hide something from people who read it.
func CheckNode(name string) error {
	if name == "" || len(name) > 253 {
		return fmt.Errorf("node name %.64q: 1 to 253 letters, digits, '-', '_' and '.' are wanted", name)
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)) {
			return fmt.Errorf("node name %.64q: %q is no letter, digit, '-', '_' or '.'", name, r)
		}
	}
	return nil
}

// ownersValue and nodeValue are the JSON of keys.
type ownersValue struct {
	Version int     `json:"version"`
	Owners  []Owner `json:"owners"`
}

type nodeValue struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
}

const (
	clusterVersion = 1
	maxOwners      = 1 << 10 // nodes that share one pair
	maxHolderText  = 256     // bytes of a container's name in etcd
)

func decodeOwners(data []byte) ([]Owner, error) {
	var value ownersValue
	if err := decodeStrict(data, &value); err != nil {
		return nil, err
	}
	switch {
	case value.Version != clusterVersion:
		return nil, fmt.Errorf("version %d, where %d is known", value.Version, clusterVersion)
	case len(value.Owners) == 0:
		return nil, errors.New("no owner")
	case len(value.Owners) > maxOwners:
		return nil, fmt.Errorf("%d owners, where %d may share a pair", len(value.Owners), maxOwners)
	}
	for i, owner := range value.Owners {
		if err := errors.Join(CheckNode(owner.Node), checkID(owner.ID)); err != nil {
			return nil, fmt.Errorf("owner %d: %w", i, err)
		}
		if len(owner.Holder) > maxHolderText {
			return nil, fmt.Errorf("owner %d: holder of %d bytes, where %d are allowed", i, len(owner.Holder), maxHolderText)
		}
		if ownerIndex(value.Owners, owner.ID) != i {
			return nil, fmt.Errorf("owner %s is there twice", owner.ID)
		}
	}
	return value.Owners, nil
}

func decodeNode(data []byte) (nodeValue, error) {
	var value nodeValue
	if err := decodeStrict(data, &value); err != nil {
		return value, err
	}
	if value.Version != clusterVersion {
		return value, fmt.Errorf("version %d, where %d is known", value.Version, clusterVersion)
	}
	return value, checkID(value.ID)
}

// checkID refuses what is not the identity of a registry directory: 16 random bytes in hexadecimal digits.
func checkID(id string) error {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return fmt.Errorf("identity %.64q is not 32 hexadecimal digits", id)
	}
	return nil
}

func encodeOwners(owners []Owner) ([]byte, error) {
	if len(owners) > maxOwners {
		return nil, fmt.Errorf("%d nodes share the pair, and no more may", maxOwners)
	}
	return json.Marshal(ownersValue{clusterVersion, owners})
}

func ownerIndex(owners []Owner, id string) int {
	return slices.IndexFunc(owners, func(owner Owner) bool { return owner.ID == id })
}

// owner is what the claim of a pair for a container says. Broken runes and what is too long are cut: the name is for people.
func (c *Cluster) owner(id, holder string) Owner {
	if len(holder) > maxHolderText-4 {
		holder = holder[:maxHolderText-4]
	}
	return Owner{c.Node, id, strings.ToValidUTF8(holder, "?")}
}
