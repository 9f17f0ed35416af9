"""The product as it is on SmolLM2-135M-Instruct on one GPU: training, sampling, scoring, adapters side by side, a scan."""
