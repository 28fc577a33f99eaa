// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"text/tabwriter"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/charts"
	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// Row is one part of a cluster and how it is.
type Row struct {
	// Component names the part.
	Component string
	// PID is its process, or 0 if it has none of its own.
	PID int
	// State says in a few words how it is.
	State string
	// Well says whether that is as it should be.
	Well bool
}

// Report is what Status found, in the order the parts are started.
type Report []Row

// Well reports whether every part is as it should be.
func (r Report) Well() bool {
	for _, row := range r {
		if !row.Well {
			return false
		}
	}
	return len(r) > 0
}

// Write writes the report as a table.
func (r Report) Write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPID\tSTATE")
	for _, row := range r {
		pid := "-"
		if row.PID > 0 {
			pid = strconv.Itoa(row.PID)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.Component, pid, row.State)
	}
	return table.Flush()
}

// Status looks at the cluster and changes nothing. That parts are not well is
// in the report; an error means that it could not be made.
func Status(ctx context.Context, options Options) (Report, error) {
	options, err := options.complete()
	if err != nil {
		return nil, err
	}
	if err := checkMachine(facts{os: runtime.GOOS, uid: os.Geteuid()}); err != nil {
		return nil, err
	}
	l := layout{dir: options.Dir}
	s, err := readState(l)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("there is no cluster in %s; make one with local up", l.dir)
	}
	var report Report
	for _, name := range daemonNames() {
		report = append(report, daemonRow(l, name))
	}
	return append(report, clusterRows(ctx, l, s, options)...), nil
}

func daemonRow(l layout, name string) Row {
	process, err := host.ReadPidFile(l.pidFile(name))
	switch {
	case err != nil:
		return Row{Component: name, State: err.Error()}
	case !process.Alive():
		return Row{Component: name, State: "not running; see " + l.logFile(name)}
	default:
		return Row{Component: name, PID: process.PID, State: "running", Well: true}
	}
}

func clusterRows(ctx context.Context, l layout, s *state, options Options) Report {
	rows := Report{checkRow("API "+s.server(), "ready", apiReady(ctx, l))}
	if !rows.Well() {
		return rows
	}
	superClient, err := newSuperClient(l)
	if err != nil {
		return append(rows, checkRow("API client", "", err))
	}
	rows = append(rows,
		checkRow("node "+NodeName, "Ready", nodeReady(ctx, superClient)),
		checkRow("DNS and storage", "available", addonsAvailable(ctx, superClient)),
	)
	if options.WithoutPlatform {
		return rows
	}
	return append(rows, platformRows(ctx, superClient)...)
}

func platformRows(ctx context.Context, superClient client.Client) Report {
	found, err := listDeployments(ctx, superClient, charts.Namespace)
	if err != nil {
		return Report{checkRow("platform", "", err)}
	}
	missing := map[string]bool{}
	for _, name := range unavailable(found) {
		missing[name] = true
	}
	var rows Report
	for _, name := range components() {
		row := Row{Component: charts.Namespace + "/" + name, State: "available", Well: true}
		if missing[name] {
			row.State, row.Well = "not available", false
		}
		rows = append(rows, row)
	}
	return rows
}

func checkRow(component, well string, err error) Row {
	if err != nil {
		return Row{Component: component, State: err.Error()}
	}
	return Row{Component: component, State: well, Well: true}
}
