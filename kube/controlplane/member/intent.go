// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// Permission says whether a new database may be made.
type Permission int

// Permissions to make a new database.
const (
	// Unsaid: nobody manages this control plane. A new database may be made
	// where there was never one.
	Unsaid Permission = iota
	// Allowed: no replica was ever ready, or a person has allowed the loss.
	Allowed
	// Forbidden: a replica was ready once, so there is a database to be found.
	Forbidden
)

// Intent is what the manager of the control plane wants of its members.
type Intent struct {
	// Bootstrap says whether a new database may be made.
	Bootstrap Permission
	// Revision changes whenever members are wanted or unwanted.
	Revision string
	// Members is how many are wanted, from ordinal 0 on; 0 is all.
	Members int
}

// wants reports whether the member of that ordinal is to be a part of the database.
func (i Intent) wants(ordinal int) bool { return i.Members == 0 || ordinal < i.Members }

// Files of the directory that ReadIntent reads.
const (
	fileBootstrap = "bootstrap" // true or false
	fileRevision  = "revision"  // any text
	fileMembers   = "members"   // a number from 1 to Most; may be missing
)

// ReadIntent reads the directory in which a ConfigMap is mounted. Without a
// directory (empty) nobody has said anything.
//
// A ConfigMap's files are replaced all at once, but read one by one. The
// revision is read first: with an old one nothing is done, and a new one never
// goes with an old number of members.
func ReadIntent(dir string) (Intent, error) {
	if dir == "" {
		return Intent{}, nil
	}
	revision, err := os.ReadFile(filepath.Join(dir, fileRevision))
	if err != nil {
		return Intent{}, fmt.Errorf("--membership-dir: %w", err)
	}
	bootstrap, err := os.ReadFile(filepath.Join(dir, fileBootstrap))
	if err != nil {
		return Intent{}, fmt.Errorf("--membership-dir: %w", err)
	}
	members, err := os.ReadFile(filepath.Join(dir, fileMembers))
	if err != nil && !os.IsNotExist(err) {
		return Intent{}, fmt.Errorf("--membership-dir: %w", err)
	}
	return parseIntent(string(bootstrap), string(revision), string(members))
}

func parseIntent(bootstrap, revision, members string) (Intent, error) {
	intent := Intent{Revision: strings.TrimSpace(revision)}
	switch strings.TrimSpace(bootstrap) {
	case "true":
		intent.Bootstrap = Allowed
	case "false":
		intent.Bootstrap = Forbidden
	default:
		return Intent{}, fmt.Errorf("--membership-dir: %s is %q, neither true nor false", fileBootstrap, bootstrap)
	}
	if members = strings.TrimSpace(members); members == "" {
		return intent, nil
	}
	wanted, err := strconv.Atoi(members)
	if err != nil || wanted < 1 || wanted > Most {
		return Intent{}, fmt.Errorf("--membership-dir: %s is %q, not a number from 1 to %d", fileMembers, members, Most)
	}
	intent.Members = wanted
	return intent, nil
}

// intentPeriod is how often WaitForChange looks. The kubelet takes up to a
// minute to bring a change of a ConfigMap to a pod: looking more often gains nothing.
const intentPeriod = time.Second

// WaitForChange returns when the directory says something other than known, or ctx ends.
func WaitForChange(ctx context.Context, clock clock.Clock, dir string, known Intent) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-clock.After(intentPeriod):
		}
		intent, err := ReadIntent(dir)
		if err != nil {
			return err
		}
		if intent != known {
			return nil
		}
	}
}
