// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// HoldPair gives the container its level: the unique pair that is free, or the one that was asked for by name. held says whether the
// registry has it under holder.ID, and so whether it has to be released; a level that is no pair is nobody's. bundle is the engine's, "" where the
// user named the level.
func (h *Host) HoldPair(p *plan.Plan, holder mcs.Holder, bundle string) (level string, held bool, err error) {
	for _, volume := range p.Volumes {
		if volume.Relabel == plan.RelabelPrivate || volume.Own {
			holder.Volumes = append(holder.Volumes, volume.Source)
		}
	}
	if p.MCS.Level == "" {
		pair, err := h.takePairFor(holder)
		if err != nil {
			return "", false, err
		}
		return pair.Level().String(), true, nil
	}
	pair, ok := pairOf(p.MCS.Level)
	if !ok {
		return p.MCS.Level, false, nil
	}
	if bundle != "" {
		if err := h.checkElsewhere(pair, holder, asker{bundle, p.Container}); err != nil {
			return "", false, err
		}
	}
	err = h.reserve(pair, holder, bundle != "")
	return p.MCS.Level, err == nil, err
}

// takePairFor takes the pair that the holder's volumes carry from an earlier container, or else a free one.
func (h *Host) takePairFor(holder mcs.Holder) (mcs.Pair, error) {
	pair, former, err := h.formerPair(holder.Volumes)
	if err != nil {
		return mcs.Pair{}, err
	}
	if former {
		err := h.Registry.Reserve(pair, holder, false)
		var taken *mcs.HeldError
		if !errors.As(err, &taken) { // by another who starts on the same volumes
			return pair, err
		}
	}
	return h.TakePair(holder)
}

// TakePair takes a free pair, after a sweep where there is none.
func (h *Host) TakePair(holder mcs.Holder) (mcs.Pair, error) {
	pair, err := h.Registry.Take(holder)
	if errors.Is(err, mcs.ErrFull) {
		if _, err = h.Sweep(); err == nil {
			pair, err = h.Registry.Take(holder)
		}
	}
	if err != nil {
		return mcs.Pair{}, fmt.Errorf("mcs: %w", err)
	}
	return pair, nil
}

// reserve holds a pair that was named. Who names it on the command line means to share it. An engine may do so on purpose (a pod, a container
// that joins another's namespaces) or by its own chance draw: its own containers may share, and those of others are refused.
func (h *Host) reserve(pair mcs.Pair, holder mcs.Holder, byEngine bool) error {
	err := h.Registry.Reserve(pair, holder, !byEngine)
	var taken *mcs.HeldError
	if !errors.As(err, &taken) {
		return err
	}
	if taken.Owner.Node != "" {
		return &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: fmt.Sprintf("node %q has it (%q)", taken.Owner.Node, taken.Owner.Holder),
			Hint: "create the container again: the engine draws another pair"}
	}
	if taken.Holder.Runtime == holder.Runtime {
		return h.Registry.Reserve(pair, holder, true)
	}
	if taken.Holder.Reserved {
		return &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: fmt.Sprintf("it is reserved for %q", taken.Holder.ID),
			Hint: "create the container again: the engine draws another pair; or `bulkhead label mcs release " + pair.String() + "`"}
	}
	return &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: fmt.Sprintf("container %s of another engine (%s) has it", taken.Holder.ID, taken.Holder.Runtime),
		Hint: "create the container again: the engine draws another pair"}
}

// pairOf reads the pair of a level or range; the high level counts.
func pairOf(level string) (mcs.Pair, bool) {
	parsed, err := selinux.ParseRange(level)
	if err != nil {
		return mcs.Pair{}, false
	}
	return mcs.PairOf(parsed.High.Categories)
}

// ReleasePair ends the hold that HoldPair made.
func (h *Host) ReleasePair(level, holderID string) error {
	pair, ok := pairOf(level)
	if !ok {
		return nil
	}
	return h.Registry.Release(pair, holderID)
}

// CheckClaims asks again, with the pair of the level held, whether a volume is another container's: of two that start at once, one sees the other. A volume that is
// taken is passed over.
func (h *Host) CheckClaims(p *plan.Plan, level, holderID string) error {
	if len(p.Volumes) == 0 {
		return nil
	}
	mounts, err := label.ReadMounts()
	if err != nil {
		return err
	}
	var paths []string
	for _, volume := range p.Volumes {
		if volume.Holder == "" {
			paths = append(append(paths, volume.Source), mounts.Aliases(volume.Source)...)
		}
	}
	own, isPair := pairOf(level)
	claims, err := h.Registry.Claims(func(c mcs.Claim) bool { return c.Holder.ID == holderID || isPair && c.Pair == own }, paths...)
	if err != nil || len(claims) == 0 {
		return err
	}
	holder := claims[0].Holder
	return &plan.RefusedError{Subject: "volume " + paths[slices.IndexFunc(paths, holder.Claims)], Reason: "its private label belongs to container " + holder.ID,
		Hint: "remove that container, or share the volume with :z in both"}
}

// Sweep takes down what containers left that are gone without having been deleted: their records, and then their pairs.
func (h *Host) Sweep() ([]mcs.Pair, error) {
	records, failed := h.List()
	for _, record := range records {
		record.EndAbandoned()
		if !record.Alive() && !record.knownToEngine() {
			failed = errors.Join(failed, h.remove(record))
		}
	}
	pairs, err := h.Registry.Sweep()
	return slices.Clip(pairs), errors.Join(failed, err, h.sweepLeftovers())
}

// sweepEvery is how often creating a container also sweeps: looking at every container each time would cost more than it frees.
const sweepEvery = 30 * time.Second

// SweepSometimes sweeps where the last sweep is a while ago.
func (h *Host) SweepSometimes() ([]mcs.Pair, error) {
	stamp := filepath.Join(h.Run, "swept")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < sweepEvery {
		return nil, nil
	}
	if err := h.Make(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(stamp, nil, 0o600); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := os.Chtimes(stamp, now, now); err != nil {
		return nil, err
	}
	return h.Sweep()
}
