// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package quota keeps the books of what each tenant asks of the super cluster,
// and says whether more fits into its quota.
//
// A Ledger has an account for each tenant that has a quota, and nothing for the
// others. What the super cluster has is entered by Load once and by Observe and
// Gone from then on, so that a decision takes the same time however much a
// tenant has. Between a decision and the moment at which the super cluster shows
// its outcome stands a reservation: what two workers ask for at the same time
// counts twice.
//
// Where it is not known which of two amounts is true, the larger one counts: a
// tenant may wait for a moment, and never has more than its quota.
//
// The package knows amounts and names, nothing of what they are of.
package quota
