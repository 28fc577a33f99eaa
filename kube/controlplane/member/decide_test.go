// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	var (
		silent     = Answer{Err: ErrSilent}
		noMajority = Answer{Err: ErrNoMajority}
		listsMe    = Answer{Membership: Membership{Cluster: 7, Members: []Member{{ID: 1}, {ID: 2}}}}
		withoutMe  = Answer{Membership: Membership{Cluster: 7, Members: []Member{{ID: 2}, {ID: 3}}}}
		foreign    = Answer{Membership: Membership{Cluster: 8, Members: []Member{{ID: 1}}}}
		data       = Disk{Data: true, Identity: &Identity{Member: 1, Cluster: 7}}
		known      = Disk{Identity: &Identity{Member: 1, Cluster: 7}}
		removed    = Disk{Data: true, Identity: &Identity{Member: 1, Cluster: 7}, Removed: true, RemovedAt: "r1"}
		allowed    = Intent{Bootstrap: Allowed, Revision: "r1"}
		forbidden  = Intent{Bootstrap: Forbidden, Revision: "r1"}
		unsaid     = Intent{}
	)
	tests := map[string]struct {
		Situation
		want   Action
		reason string // part of it
	}{
		"alone, first start":                    {Situation{Intent: allowed}, Create, ""},
		"alone, nobody manages it":              {Situation{Intent: unsaid}, Create, ""},
		"alone, restart":                        {Situation{Disk: data, Intent: forbidden}, Start, ""},
		"alone, volume lost":                    {Situation{Intent: forbidden}, Refuse, "allow-empty-database"},
		"alone, log lost":                       {Situation{Disk: known, Intent: unsaid}, Refuse, "the database is gone"},
		"alone, log lost, and a person allows":  {Situation{Disk: known, Intent: allowed}, Create, ""},
		"alone, with what was removed":          {Situation{Disk: removed, Intent: forbidden}, Refuse, "not the newest"},
		"alone, removed, a person allows":       {Situation{Disk: removed, Intent: allowed}, Refuse, "not the newest"},
		"first of several, first start":         {Situation{Replicated: true, Intent: allowed, Others: silent}, Create, ""},
		"first, nobody manages it":              {Situation{Replicated: true, Intent: unsaid, Others: silent}, Create, ""},
		"first, but the others have a database": {Situation{Replicated: true, Intent: allowed, Others: withoutMe}, Join, ""},
		"first, but the others had a database":  {Situation{Replicated: true, Intent: allowed, Others: noMajority}, Join, ""},
		"first, volume lost":                    {Situation{Replicated: true, Intent: forbidden, Others: listsMe}, Join, ""},
		"first, volume lost, nobody answers":    {Situation{Replicated: true, Intent: forbidden, Others: silent}, Join, ""},
		"first, log lost, nobody answers":       {Situation{Replicated: true, Disk: known, Intent: unsaid, Others: silent}, Join, ""},
		"second, first start":                   {Situation{Replicated: true, Ordinal: 1, Intent: allowed, Others: silent}, Join, ""},
		"third, not wanted":                     {Situation{Replicated: true, Ordinal: 2, Intent: Intent{Members: 1}, Others: listsMe}, Wait, "not wanted"},
		"restart":                               {Situation{Replicated: true, Disk: data, Intent: forbidden, Others: listsMe}, Start, ""},
		"restart of all at once":                {Situation{Replicated: true, Disk: data, Intent: forbidden, Others: silent}, Start, ""},
		"restart without a majority":            {Situation{Replicated: true, Disk: data, Intent: forbidden, Others: noMajority}, Start, ""},
		"restart before it knew its name":       {Situation{Replicated: true, Disk: Disk{Data: true}, Intent: forbidden, Others: withoutMe}, Start, ""},
		"removed while it was down":             {Situation{Replicated: true, Disk: data, Intent: forbidden, Others: withoutMe}, MarkRemoved, ""},
		"the others have another database":      {Situation{Replicated: true, Disk: data, Intent: forbidden, Others: foreign}, Refuse, "database 8"},
		"removed":                               {Situation{Replicated: true, Disk: removed, Intent: forbidden}, Wait, "removed"},
		"removed, a person allows":              {Situation{Replicated: true, Disk: removed, Intent: allowed}, Wait, "removed"},
		"removed, nobody manages it":            {Situation{Replicated: true, Disk: Disk{Removed: true}, Intent: unsaid}, Wait, "removed"},
		"removed, wanted again":                 {Situation{Replicated: true, Disk: removed, Intent: Intent{Revision: "r2"}}, Join, "wanted again"},
		"removed, wanted again by number":       {Situation{Replicated: true, Ordinal: 2, Disk: removed, Intent: Intent{Revision: "r2", Members: 3}}, Join, ""},
		// The removal's own revision may reach the volume after the removal itself.
		"removed, and its revision is late": {Situation{Replicated: true, Ordinal: 2, Disk: removed, Intent: Intent{Revision: "r2", Members: 1}}, Wait, "not wanted"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Decide(tc.Situation)
			if got.Action != tc.want || !strings.Contains(got.Reason, tc.reason) || got.Reason == "" {
				t.Errorf("action %d because %q, want %d and a reason with %q", got.Action, got.Reason, tc.want, tc.reason)
			}
		})
	}
}

// TestNeverASecondDatabase goes through every situation there is: a database is
// made only where no sign of one is.
func TestNeverASecondDatabase(t *testing.T) {
	identities := []*Identity{nil, {Member: 1, Cluster: 7}}
	answers := []Answer{{Err: ErrSilent}, {Err: ErrNoMajority}, {Membership: Membership{Cluster: 7}}}
	for _, replicated := range []bool{false, true} {
		for ordinal := range Most {
			for _, data := range []bool{false, true} {
				for _, removed := range []bool{false, true} {
					for _, identity := range identities {
						for _, permission := range []Permission{Unsaid, Allowed, Forbidden} {
							for _, answer := range answers {
								checkCreate(t, Situation{
									Replicated: replicated, Ordinal: ordinal,
									Disk:   Disk{Data: data, Removed: removed, Identity: identity},
									Intent: Intent{Bootstrap: permission, Revision: "new"}, Others: answer,
								})
							}
						}
					}
				}
			}
		}
	}
}

func checkCreate(t *testing.T, s Situation) {
	t.Helper()
	if Decide(s).Action != Create {
		return
	}
	switch {
	case s.Disk.Data, s.Disk.Removed:
		t.Errorf("a new database where one is on the volume: %+v", s)
	case s.Intent.Bootstrap == Forbidden:
		t.Errorf("a new database although that is forbidden: %+v", s)
	case s.Intent.Bootstrap == Unsaid && s.Disk.Identity != nil:
		t.Errorf("a new database where one was, and nobody has allowed it: %+v", s)
	case s.Replicated && s.Ordinal != 0:
		t.Errorf("a new database by another than the first: %+v", s)
	case s.Replicated && s.Others.exists():
		t.Errorf("a new database beside one of the others: %+v", s)
	}
}
