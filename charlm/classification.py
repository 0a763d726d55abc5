from charlm.inference.classification import classify as classify
