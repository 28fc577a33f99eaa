// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cronNamespace is where beginCronJob leaves the jobs for testCronJob.
const cronNamespace = "cronjob-begins"

// testJob completes an indexed job, and fails a hopeless one after its retries.
func testJob(t *testing.T, w *workload) {
	w.apply(t, "jobs.yaml")
	w.in(t, "wait", "--for=condition=complete", "job/three", "--timeout=60s")
	if got := w.in(t, "logs", "--selector=batch.kubernetes.io/job-name=three", "--tail=-1"); strings.Count(got, "index") != 3 {
		t.Errorf("the pods wrote %q", got)
	}
	w.in(t, "wait", "--for=condition=failed", "job/hopeless", "--timeout=60s")
	job := &batchv1.Job{}
	w.get(t, "hopeless", job)
	if job.Status.Failed != 2 {
		t.Errorf("%d pods failed, want the first and one retry", job.Status.Failed)
	}
}

// beginCronJob starts a CronJob whose minute passes while other parts run.
func beginCronJob(t *testing.T, w *workload) { w.apply(t, "jobs.yaml") }

// testCronJob waits for a job of the CronJob to complete.
func testCronJob(t *testing.T, w *workload) {
	eventually(t, 90*time.Second, "a completed job of the CronJob", func(ctx context.Context) error {
		var jobs batchv1.JobList
		if err := w.client.List(ctx, &jobs, client.InNamespace(cronNamespace)); err != nil {
			return err
		}
		for _, job := range jobs.Items {
			if strings.HasPrefix(job.Name, "everyminute-") && job.Status.Succeeded == 1 {
				return nil
			}
		}
		return fmt.Errorf("%d jobs, none of them completed", len(jobs.Items))
	})
}
