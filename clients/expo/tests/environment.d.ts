declare var fetchOfNode: typeof fetch;
