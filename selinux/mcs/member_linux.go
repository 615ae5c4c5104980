// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	memberName     = ".node"      // what this directory is in the cluster
	memberDraft    = ".node.new"  // its next content, under the lock
	memberLockName = ".node.lock" // held by who registers or renews; never removed
)

// membership is the content of the file: the directory's identity, and how its node is registered.
type membership struct {
	Version      int    `json:"version"`
	ID           string `json:"id"`
	Machine      string `json:"machine,omitempty"` // /etc/machine-id: the directory of another machine is a copy
	Node         string `json:"node"`
	Registration int64  `json:"registration"` // revision at which the node's key was written; 0: void
	Lease        int64  `json:"lease"`
	Renewed      int64  `json:"renewed"` // seconds since 1970
}

// errUnregistered says that the node has to register, anew or for the first time.
var errUnregistered = errors.New("the node's registration ended meanwhile")

// session is a registered node, for one operation.
type session struct {
	*Cluster
	dir          *directory
	witness      witness
	id           string
	registration int64
	registering  bool // the membership's lock is held, and the registration is not written yet
}

// registered does something as a registered node, and again where another process of this host registered in between.
func (r Registry) registered(ctx context.Context, dir *directory, do func(*session) error) error {
	err := errUnregistered
	for attempt := 0; attempt < 3 && errors.Is(err, errUnregistered); attempt++ {
		var s *session
		if s, err = r.join(ctx, dir); err == nil {
			err = do(s)
		}
	}
	var held *HeldError
	var conflict *ConflictError
	if errors.As(err, &held) || errors.As(err, &conflict) || errors.Is(err, ErrFull) {
		return err
	}
	return r.Cluster.failure(err)
}

// join returns the node as it is registered, after registering it where it is not.
func (r Registry) join(ctx context.Context, dir *directory) (*session, error) {
	s := &session{Cluster: r.Cluster, dir: dir, witness: r.witness()}
	member, err := dir.readMembership()
	if err != nil {
		return nil, err
	}
	key, err := s.get(ctx, s.nodeKey(s.Node))
	if err != nil {
		return nil, err
	}
	if !s.is(member, key) {
		return s, s.register(ctx)
	}
	s.id, s.registration = member.ID, member.Registration
	if age := time.Since(time.Unix(member.Renewed, 0)); age < 0 || age > s.Lease/3 {
		return s, s.renew(ctx)
	}
	return s, nil
}

// is reports whether the key is that of the membership.
func (s *session) is(member membership, key keyValue) bool {
	return member.ID != "" && member.Node == s.Node && member.Machine == machineID() && member.Registration != 0 && member.Registration == key.ModRevision
}

// register writes the node's key with a new lease and holds the directory's pairs against the cluster. Until that is through, no process of this host
// claims anything.
func (s *session) register(ctx context.Context) error {
	release, err := s.dir.lockMembership(ctx)
	if err != nil {
		return err
	}
	defer release()
	member, err := s.dir.readMembership()
	if err != nil {
		return err
	}
	key, err := s.get(ctx, s.nodeKey(s.Node))
	if err != nil {
		return err
	}
	if s.is(member, key) { // another process was faster
		s.id, s.registration = member.ID, member.Registration
		return nil
	}
	if member.ID == "" || member.Machine != machineID() {
		member = membership{Version: clusterVersion, ID: newID(), Machine: machineID()}
		if err := s.dir.writeMembership(member); err != nil { // before the cluster knows the identity
			return err
		}
	}
	s.id, s.registering = member.ID, true
	defer func() { s.registering = false }()
	if err := s.writeNode(ctx, key, &member); err != nil {
		return err
	}
	if err := s.reconcile(ctx); err != nil {
		return err
	}
	return s.dir.writeMembership(member)
}

// writeNode puts the node's key in the place of what was read of it.
func (s *session) writeNode(ctx context.Context, seen keyValue, member *membership) error {
	if seen.ModRevision != 0 {
		value, err := decodeNode(seen.Value)
		if err != nil {
			return fmt.Errorf("key %s: %w", s.nodeKey(s.Node), err)
		}
		if value.ID != s.id {
			return fmt.Errorf("another host is node %q and lives; it is known by %s, and %s by %s", s.Node, value.ID, s.dir.path, s.id)
		}
	}
	var lease leaseResponse
	if err := s.Call(ctx, "lease/grant", leaseRequest{TTL: int64(s.Lease / time.Second)}, &lease); err != nil {
		return err
	}
	value, err := json.Marshal(nodeValue{clusterVersion, s.id})
	if err != nil {
		return err
	}
	put := putKey(s.nodeKey(s.Node), value)
	put.Put.Lease = lease.ID
	done, revision, _, err := s.transact(ctx, transactionRequest{Compare: []comparison{unchanged(s.nodeKey(s.Node), seen.ModRevision)}, Success: []operation{put}})
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("another host registers as node %q", s.Node)
	}
	s.registration = revision
	member.Node, member.Registration, member.Lease, member.Renewed = s.Node, revision, lease.ID, time.Now().Unix()
	return nil
}

// renew lengthens the lease. Another process that does so, or registers, serves as well.
func (s *session) renew(ctx context.Context) error {
	release, free, err := s.dir.tryMembership()
	if err != nil || !free {
		return err
	}
	defer release()
	member, err := s.dir.readMembership()
	if err != nil || member.Registration != s.registration {
		return errors.Join(err, errUnregistered)
	}
	var answer keepAliveResponse
	if err := s.Call(ctx, "lease/keepalive", leaseRequest{ID: member.Lease}, &answer); err != nil {
		return err
	}
	if answer.Result.TTL <= 0 { // the key goes with it
		member.Registration = 0
		return errors.Join(errUnregistered, s.dir.writeMembership(member))
	}
	member.Renewed = time.Now().Unix()
	return s.dir.writeMembership(member)
}

// void ends the registration: a claim without an answer may still be carried out, and must not be when this host believes that it was not. Who holds the
// lock meanwhile registers anew.
func (s *session) void() {
	if s.registering {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	release, err := s.dir.lockMembership(ctx)
	if err != nil {
		return
	}
	defer release()
	if member, err := s.dir.readMembership(); err == nil && member.Registration == s.registration {
		member.Registration = 0
		s.dir.writeMembership(member) // where it cannot be written, the worst is a pair that is held until `bulkhead label mcs sync`
	}
}

// reconcile claims the pairs that are held here and not claimed, or claimed under a name that the node had before. What is pending is claimed by who
// holds it.
func (s *session) reconcile(ctx context.Context) error {
	held := map[Pair]string{}
	var pairs []Pair
	if err := s.dir.pairs(func(pair Pair) { pairs = append(pairs, pair) }); err != nil {
		return err
	}
	slices.SortFunc(pairs, Pair.compare)
	var keys []string
	pairs = slices.DeleteFunc(pairs, func(pair Pair) bool {
		holder, established := s.established(pair)
		if established {
			held[pair] = holder
			keys = append(keys, s.pairKey(pair))
		}
		return !established
	})
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return err
	}
	for i, pair := range pairs {
		owners, err := s.ownersOf(found[i])
		if err != nil {
			return err
		}
		own := ownerIndex(owners, s.id)
		if own >= 0 && owners[own].Node == s.Node {
			continue
		}
		if err := s.claimHeld(ctx, pair, own >= 0, held[pair]); err != nil {
			return err
		}
	}
	return nil
}

// claimHeld claims a pair that is held here already. known is that the node has it under another name.
func (s *session) claimHeld(ctx context.Context, pair Pair, known bool, holder string) error {
	err := s.claim(ctx, pair, known, holder)
	var taken *HeldError
	if errors.As(err, &taken) {
		if _, still := s.established(pair); still {
			return &ConflictError{pair, holder, taken.Owner}
		}
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.drop(ctx, []Pair{pair}) // where the holder has gone meanwhile
	return err
}

// established returns who holds the pair here beyond doubt. A file that cannot be read holds it.
func (s *session) established(pair Pair) (holder string, yes bool) {
	holders, err := s.dir.read(pair)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		return "what " + pair.String() + " names, which cannot be read", true
	}
	holders = slices.DeleteFunc(holders, func(h Holder) bool { return h.Pending })
	living := s.witness.living(pair, holders)
	if len(living) == 0 {
		return "", false
	}
	return living[0].ID, true
}

func newID() string {
	raw := make([]byte, 16)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

// machineID is systemd's name of the installation (machine-id(5)); "" where there is none.
func machineID() string {
	text, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(text) > 256 {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// readMembership returns the zero value where the directory never was in a cluster.
func (d *directory) readMembership() (membership, error) {
	var member membership
	file, err := d.open(memberName, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, fs.ErrNotExist) {
		return member, nil
	}
	if err != nil {
		return member, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxEntry+1))
	if err == nil {
		err = decodeStrict(data, &member)
	}
	if err == nil && member.Version != clusterVersion {
		err = fmt.Errorf("version %d, where %d is known", member.Version, clusterVersion)
	}
	if err == nil {
		err = checkID(member.ID)
	}
	if err != nil {
		return membership{}, d.failure(memberName, err)
	}
	return member, nil
}

// writeMembership replaces the file, under the lock.
func (d *directory) writeMembership(member membership) error {
	data, err := json.Marshal(member)
	if err != nil {
		return err
	}
	file, err := d.open(memberDraft, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := writeSynced(file, append(data, '\n')); err != nil {
		return err
	}
	if err := unix.Renameat(d.fd(), memberDraft, d.fd(), memberName); err != nil {
		return d.failure(memberName, err)
	}
	return d.file.Sync()
}

// lockMembership waits for the lock no longer than the context lets it. The kernel releases that of a killed process.
func (d *directory) lockMembership(ctx context.Context) (release func(), err error) {
	for {
		release, free, err := d.tryMembership()
		if free || err != nil {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: another process of this host registers it: %w", d.path, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (d *directory) tryMembership() (release func(), free bool, err error) {
	file, err := d.open(memberLockName, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, false, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return func() { file.Close() }, true, nil
	}
	file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, false, nil
	}
	return nil, false, d.failure(memberLockName, err)
}
