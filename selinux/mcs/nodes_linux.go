// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrNodeLives says that a node is not to be released, since its lease has not ended.
var ErrNodeLives = errors.New("the node lives: its lease has not ended")

// Node is a host of the cluster, or what pairs say of one.
type Node struct {
	Name  string `json:"name"`
	ID    string `json:"id"`    // of its registry directory
	Lives bool   `json:"lives"` // its lease has not ended. One that has started nothing for a while has none, whatever runs there.
	Pairs int    `json:"pairs"` // that it has
}

// pairOfKey returns the pair that a key is of. Keys that are none are somebody else's.
func (c *Cluster) pairOfKey(key []byte) (Pair, bool) {
	return pairFromName(strings.TrimPrefix(string(key), c.Prefix+"pairs/"))
}

// Owned returns every pair that a node has, in rising order. A key that cannot be understood is named in the error, beside the others.
func (c *Cluster) Owned() ([]Owned, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scanLimit)
	defer cancel()
	owned, err := c.owned(ctx)
	return owned, c.failure(err)
}

func (c *Cluster) owned(ctx context.Context) ([]Owned, error) {
	var found []Owned
	var failures []error
	err := c.scan(ctx, c.Prefix+"pairs/", false, func(key keyValue) error {
		if pair, ok := c.pairOfKey(key.Key); ok {
			owners, err := decodeOwners(key.Value)
			if err != nil {
				failures = append(failures, fmt.Errorf("key %s: %w", key.Key, err))
				return nil
			}
			found = append(found, Owned{pair, owners, key.ModRevision})
		}
		return nil
	})
	slices.SortFunc(found, func(a, b Owned) int { return a.Pair.compare(b.Pair) })
	return found, errors.Join(err, errors.Join(failures...))
}

// Owners returns the nodes that have the pair.
func (c *Cluster) Owners(pair Pair) ([]Owner, error) {
	ctx, cancel := context.WithTimeout(context.Background(), allocationLimit)
	defer cancel()
	key, err := c.get(ctx, c.pairKey(pair))
	if err != nil || key.ModRevision == 0 {
		return nil, c.failure(err)
	}
	owners, err := decodeOwners(key.Value)
	if err != nil {
		return nil, c.failure(fmt.Errorf("key %s: %w", key.Key, err))
	}
	return owners, nil
}

// Others returns the other nodes that have the pair; none where this host is alone.
func (r Registry) Others(pair Pair) ([]Owner, error) {
	if r.Cluster == nil {
		return nil, nil
	}
	owners, err := r.Cluster.Owners(pair)
	if err != nil || len(owners) == 0 {
		return nil, err
	}
	id, err := r.identity()
	return withoutOwner(owners, id), err
}

// AllOthers is Others for every pair.
func (r Registry) AllOthers() ([]Owned, error) {
	if r.Cluster == nil {
		return nil, nil
	}
	owned, failed := r.Cluster.Owned()
	id, err := r.identity()
	for i := range owned {
		owned[i].Owners = withoutOwner(owned[i].Owners, id)
	}
	return slices.DeleteFunc(owned, func(o Owned) bool { return len(o.Owners) == 0 }), errors.Join(failed, err)
}

func withoutOwner(owners []Owner, id string) []Owner {
	return slices.DeleteFunc(owners, func(o Owner) bool { return o.ID == id })
}

// identity is that of the directory; "" where it never was in a cluster.
func (r Registry) identity() (string, error) {
	dir, err := r.open()
	if err != nil || dir == nil {
		return "", err
	}
	defer dir.close()
	member, err := dir.readMembership()
	return member.ID, err
}

// Nodes returns the nodes that live or have pairs, by name.
func (c *Cluster) Nodes() ([]Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scanLimit)
	defer cancel()
	nodes := map[string]*Node{}
	at := func(name, id string) *Node {
		if nodes[name+"/"+id] == nil {
			nodes[name+"/"+id] = &Node{Name: name, ID: id}
		}
		return nodes[name+"/"+id]
	}
	err := c.scan(ctx, c.Prefix+"nodes/", false, func(key keyValue) error {
		value, err := decodeNode(key.Value)
		if err != nil {
			return fmt.Errorf("key %s: %w", key.Key, err)
		}
		at(strings.TrimPrefix(string(key.Key), c.Prefix+"nodes/"), value.ID).Lives = true
		return nil
	})
	owned, failed := c.owned(ctx)
	for _, pair := range owned {
		for _, owner := range pair.Owners {
			at(owner.Node, owner.ID).Pairs++
		}
	}
	var list []Node
	for _, node := range nodes {
		list = append(list, *node)
	}
	slices.SortFunc(list, func(a, b Node) int { return strings.Compare(a.Name+"/"+a.ID, b.Name+"/"+b.ID) })
	return list, c.failure(errors.Join(err, failed))
}

// ReleaseNode frees the pairs of a node that does not live: nothing of it may run any more, or two containers have the same pair. Where a new
// host has the name, those of the old one are freed. ErrNodeLives where there are only the pairs of one that lives. It returns the pairs that it took from the node.
func (c *Cluster) ReleaseNode(name string) ([]Pair, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scanLimit)
	defer cancel()
	freed, err := c.releaseNode(ctx, name)
	if errors.Is(err, ErrNodeLives) {
		return nil, err
	}
	return freed, c.failure(err)
}

func (c *Cluster) releaseNode(ctx context.Context, name string) ([]Pair, error) {
	if err := CheckNode(name); err != nil {
		return nil, err
	}
	key, err := c.get(ctx, c.nodeKey(name))
	if err != nil {
		return nil, err
	}
	var alive nodeValue
	if key.ModRevision != 0 {
		if alive, err = decodeNode(key.Value); err != nil {
			return nil, fmt.Errorf("key %s: %w", key.Key, err)
		}
	}
	owned, failed := c.owned(ctx)
	var freed []Pair
	for _, pair := range owned {
		i := slices.IndexFunc(pair.Owners, func(o Owner) bool { return o.Node == name && o.ID != alive.ID })
		if i < 0 {
			continue
		}
		// The node's key, too: one that registers meanwhile keeps what it has.
		value := keyValue{Key: []byte(c.pairKey(pair.Pair)), ModRevision: pair.revision}
		done, err := c.removeOwner(ctx, value, pair.Owners, i, unchanged(c.nodeKey(name), key.ModRevision))
		if err != nil {
			return freed, errors.Join(failed, err)
		}
		if !done {
			return freed, errors.Join(failed, fmt.Errorf("node %q or its pair %s changed meanwhile", name, pair.Pair))
		}
		freed = append(freed, pair.Pair)
	}
	if len(freed) == 0 && alive.ID != "" && failed == nil {
		return nil, fmt.Errorf("node %q: %w", name, ErrNodeLives)
	}
	return freed, failed
}

// Sync sweeps, registers the node anew, which holds every pair of the directory against the cluster, and frees the node's keys of which the directory has
// nothing. For a timer, and after etcd was restored from a backup. It returns the pairs that this freed.
func (r Registry) Sync() ([]Pair, error) {
	freed, swept := r.Sweep()
	if r.Cluster == nil {
		return freed, swept
	}
	dir, err := openDirectory(r.Dir, true)
	if err != nil {
		return freed, err
	}
	defer dir.close()
	ctx, cancel := context.WithTimeout(context.Background(), scanLimit)
	defer cancel()
	err = r.registered(ctx, dir, func(s *session) error {
		s.void()
		s, err := r.join(ctx, dir)
		if err != nil {
			return err
		}
		owned, err := s.owned(ctx)
		if err != nil {
			return err
		}
		more, err := s.drop(ctx, s.unheld(owned))
		freed = append(freed, more...)
		return err
	})
	return freed, errors.Join(swept, err)
}

// unheld returns the node's pairs that the directory does not have.
func (s *session) unheld(owned []Owned) []Pair {
	var pairs []Pair
	for _, pair := range owned {
		if ownerIndex(pair.Owners, s.id) < 0 {
			continue
		}
		if holders, err := s.dir.read(pair.Pair); errors.Is(err, fs.ErrNotExist) || err == nil && onlyLeaving(holders) {
			pairs = append(pairs, pair.Pair)
		}
	}
	return pairs
}
