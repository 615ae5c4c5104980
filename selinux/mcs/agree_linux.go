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

// ownersOf reads the value of a pair's key; none where there is no key.
func (s *session) ownersOf(key keyValue) ([]Owner, error) {
	if key.ModRevision == 0 {
		return nil, nil
	}
	owners, err := decodeOwners(key.Value)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.Key, err)
	}
	return owners, nil
}

// claim makes the pair the node's, beside those who share it. Another node's is a *HeldError unless share is set.
func (s *session) claim(ctx context.Context, pair Pair, share bool, holder string) error {
	var seen keyValue
	var owners []Owner
	for range 32 { // of as many nodes that claim it at once, one is through each time
		if own := ownerIndex(owners, s.id); own < 0 {
			owners = append(owners, s.owner(s.id, holder))
		} else {
			owners[own].Node = s.Node // it may have had another name
		}
		value, err := encodeOwners(owners)
		if err != nil {
			return err
		}
		node, key := s.nodeKey(s.Node), s.pairKey(pair)
		done, _, read, err := s.transact(ctx, transactionRequest{Compare: []comparison{unchanged(node, s.registration), unchanged(key, seen.ModRevision)},
			Success: []operation{putKey(key, value)}, Failure: []operation{readKey(node), readKey(key)}})
		switch {
		case err != nil:
			s.void()
			return err
		case done:
			return nil
		case read[0].ModRevision != s.registration:
			return errUnregistered
		}
		seen = read[1]
		if owners, err = s.ownersOf(seen); err != nil {
			return err
		}
		if i := slices.IndexFunc(owners, func(o Owner) bool { return o.ID != s.id }); i >= 0 && !share {
			return &HeldError{Pair: pair, Holder: Holder{ID: owners[i].Holder}, Owner: owners[i]}
		}
	}
	return fmt.Errorf("key %s: changed by others all the time", s.pairKey(pair))
}

// drop ends the node's hold of pairs that nobody has here any more, in the cluster and then here. It returns those that it ended; one that is taken or claimed again
// meanwhile stays.
func (s *session) drop(ctx context.Context, pairs []Pair) ([]Pair, error) {
	var keys []string
	for _, pair := range pairs {
		keys = append(keys, s.pairKey(pair))
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	var dropped []Pair
	var failures []error
	for i, pair := range pairs {
		gone, err := s.dropKey(ctx, pair, found[i])
		if gone && err == nil {
			gone, err = s.dir.removeLeaving(pair)
		}
		if gone {
			dropped = append(dropped, pair)
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break // none of the others would get an answer either
		}
	}
	return dropped, errors.Join(failures...)
}

// dropKey looks at the pair's file after its key was read: a claim that came later than the look has changed the key.
func (s *session) dropKey(ctx context.Context, pair Pair, key keyValue) (gone bool, err error) {
	owners, err := s.ownersOf(key)
	if err != nil {
		return false, err
	}
	i := ownerIndex(owners, s.id)
	if i < 0 {
		return true, nil
	}
	holders, err := s.dir.read(pair)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !onlyLeaving(holders) {
		return false, nil
	}
	return s.removeOwner(ctx, key, owners, i)
}

// removeOwner takes one owner out of a pair's key, where that and what else is compared have not changed.
func (c *Cluster) removeOwner(ctx context.Context, key keyValue, owners []Owner, i int, also ...comparison) (done bool, err error) {
	change := deleteKey(string(key.Key))
	if len(owners) > 1 {
		value, err := encodeOwners(slices.Delete(slices.Clone(owners), i, i+1))
		if err != nil {
			return false, err
		}
		change = putKey(string(key.Key), value)
	}
	done, _, _, err = c.transact(ctx, transactionRequest{Compare: append(also, unchanged(string(key.Key), key.ModRevision)), Success: []operation{change}})
	return done, err
}

// removeLeaving removes the file of a pair whose key is gone; false where somebody holds it again.
func (d *directory) removeLeaving(pair Pair) (removed bool, err error) {
	err = d.change(pair, func(holders []Holder) ([]Holder, error) {
		removed = onlyLeaving(holders)
		if removed {
			return nil, nil
		}
		return holders, nil
	})
	return removed && err == nil, err
}

// maxRefused is how many pairs that Take draws may be other nodes' before it reads which ones are: with 90 of 100 pairs taken that is once in 850 times.
const maxRefused = 64

// emptied returns what a pair's file is to have when it was to have these holders. leaves is that nobody holds the pair any more and the cluster is to be told.
func (r Registry) emptied(holders []Holder) (after []Holder, leaves bool) {
	if r.Cluster == nil || !onlyLeaving(holders) {
		return holders, false
	}
	return leaving, true
}

// tellLeft ends the node's hold of pairs that nobody has here any more, and returns those that are free.
func (r Registry) tellLeft(dir *directory, pairs []Pair) (freed []Pair, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseLimit)
	defer cancel()
	err = r.registered(ctx, dir, func(s *session) (err error) {
		freed, err = s.drop(ctx, pairs)
		return err
	})
	return freed, err
}

// takeAgreed is Take where nodes have to agree.
func (r Registry) takeAgreed(dir *directory, h Holder, low, high uint16, avoid *pairSet) (taken Pair, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), allocationLimit)
	defer cancel()
	refusing := new(pairSet) // and what other nodes have
	if avoid != nil {
		*refusing = *avoid
	}
	h.Pending = true
	refused := 0
	err = r.registered(ctx, dir, func(s *session) error {
		for {
			pair, err := takeHere(dir, h, low, high, refusing)
			if err != nil {
				return err
			}
			if err = s.claim(ctx, pair, false, h.ID); err == nil {
				taken = pair
				return dir.confirm(pair, h.ID)
			}
			if failed := s.withdraw(ctx, pair, h.ID, nil, err); failed != nil {
				return failed
			}
			var held *HeldError
			if !errors.As(err, &held) {
				return err
			}
			refusing.add(pair)
			if refused++; refused == maxRefused {
				if err := s.avoidOwned(refusing); err != nil {
					return err
				}
			}
		}
	})
	return taken, err
}

// avoidOwned adds every pair that has a key. Half a million take some seconds, and are read only where few are left.
func (s *session) avoidOwned(avoid *pairSet) error {
	ctx, cancel := context.WithTimeout(context.Background(), scanLimit)
	defer cancel()
	prefix := s.Prefix + "pairs/"
	return s.scan(ctx, prefix, true, func(key keyValue) error {
		if pair, ok := pairFromName(strings.TrimPrefix(string(key.Key), prefix)); ok {
			avoid.add(pair)
		}
		return nil
	})
}

// agree has the cluster agree to what Reserve has written here. previous is the holder before, if it was one.
func (r Registry) agree(dir *directory, pair Pair, h Holder, share bool, previous *Holder) error {
	ctx, cancel := context.WithTimeout(context.Background(), allocationLimit)
	defer cancel()
	// Who holds the pair already shares it with whom it did: the registration says that the node lost none.
	share = share || previous != nil && !previous.Pending
	s := &session{Cluster: r.Cluster, dir: dir, witness: r.witness()}
	err := r.registered(ctx, dir, func(joined *session) error {
		s = joined
		return s.claim(ctx, pair, share, h.ID)
	})
	if err == nil {
		return dir.confirm(pair, h.ID)
	}
	return errors.Join(err, s.withdraw(ctx, pair, h.ID, previous, err))
}

// confirm notes that the cluster has agreed to the holder.
func (d *directory) confirm(pair Pair, id string) error {
	return d.change(pair, func(holders []Holder) ([]Holder, error) {
		i := indexOf(holders, id)
		if i < 0 {
			return nil, d.failure(pair.String(), ErrNotHeld)
		}
		confirmed := holders[i]
		confirmed.Pending = false
		return replaced(holders, i, confirmed), nil
	})
}

// withdraw takes back what was written here for a claim that failed for a reason. Its key is removed at once where the reason is etcd's own answer, and
// otherwise by a sweep, which registers first: the claim may yet be carried out.
func (s *session) withdraw(ctx context.Context, pair Pair, id string, previous *Holder, reason error) error {
	empty := false
	err := s.dir.change(pair, func(holders []Holder) ([]Holder, error) {
		i := indexOf(holders, id)
		switch {
		case i < 0:
			return holders, nil
		case previous != nil:
			return replaced(holders, i, *previous), nil
		}
		holders = slices.Delete(slices.Clone(holders), i, i+1)
		if empty = onlyLeaving(holders); empty {
			return leaving, nil
		}
		return holders, nil
	})
	var held *HeldError
	if err != nil || !empty || !errors.As(reason, &held) && !errors.Is(reason, errUnregistered) {
		return err
	}
	s.drop(ctx, []Pair{pair}) // what this leaves, the sweep frees
	return nil
}
